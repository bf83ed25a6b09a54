"""What there is to review -> a FiftyOne dataset. Rebuilt from files at every start."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np

from dag.annotation import Occluder, PersonAnnotation
from dag.relabel.reviews import Decision
from dag.review import handles, labels
from dag.review.dataset import BATCH, image_file
from dag.review.decisions import Joint, Label
from dag.review.queue import ImageRecord, Row, standing
from dag.review.queue_look import save_queue_views, set_queue_look
from dag.skeleton import Skeleton
from dag.stage import progress


def build_review(
    name: str,
    images: Sequence[ImageRecord],
    skeleton: Skeleton,
    images_root: str | Path,
    *,
    reviewer: str,
    journal: str | Path,
) -> fo.Dataset:
    """A dataset called `name` in the running database, to be reviewed; one of that name is replaced.

    Fields of a sample: `before` and `after` (`fo.Keypoints`: poses as annotated, and with what stands now),
    `proposed` and `annotated` (`fo.Detections`, see `dag.review.handles`), `boxes`; `queued` and `decided` (numbers of
    joints), `uncertainty` and `disagreement` (highest of those that wait), `people`, `image_id`.

    Raises:
        UserError: an image is missing.
    """
    files = [image_file(images_root, each.people[0].image_path) for each in images]
    if fo.dataset_exists(name):
        fo.delete_dataset(name)
    dataset = fo.Dataset(name, persistent=True)
    dataset.info = {"reviewer": reviewer, "journal": str(journal)}
    _declare(dataset)
    set_queue_look(dataset, skeleton)
    handles.make_editable(dataset, skeleton.joints)
    shown = iter(progress(zip(files, images), "loading images", total=len(files)))
    start = 0
    while batch := list(islice(shown, BATCH)):
        fields = [_fields(image, skeleton) for _, image in batch]
        samples = [_sample(file, image, made) for (file, image), made in zip(batch, fields)]
        dataset.add_samples(samples, expand_schema=False, validate=False, batcher=False, progress=False)
        del samples  # FiftyOne reloads every sample that is still in memory, each time one of its fields is set
        added: Any = dataset[start : start + len(batch)]
        for field in ("before", "after", "boxes", *handles.FIELDS):
            added.set_values(field, [made[field] for made in fields], expand_schema=False, validate=False)
        start += len(batch)
    save_queue_views(dataset, skeleton)
    return dataset


def _declare(dataset: fo.Dataset) -> None:
    for field in ("before", "after"):
        dataset.add_sample_field(field, fo.EmbeddedDocumentField, embedded_doc_type=fo.Keypoints)
        dataset.add_sample_field(f"{field}.keypoints.person_id", fo.IntField)
        for name in ("visibility", "occluder"):
            dataset.add_sample_field(f"{field}.keypoints.{name}", fo.ListField, subfield=fo.StringField)
    handles.declare(dataset)
    dataset.add_sample_field("boxes", fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    dataset.add_sample_field("boxes.detections.person_id", fo.IntField)
    for field in ("image_id", "instances", "queued", "decided"):
        dataset.add_sample_field(field, fo.IntField)
    for field in ("uncertainty", "disagreement"):
        dataset.add_sample_field(field, fo.FloatField)


def _sample(file: str, image: ImageRecord, fields: Mapping[str, Any]) -> fo.Sample:
    first = image.people[0]
    made = [handle for field in handles.FIELDS for handle in fields[field]["detections"]]
    queued = [row for key, row in image.rows.items() if standing(row) == "queued"]
    waits = [row for row in queued if (row["person_id"], row["joint"]) not in image.decisions]
    return fo.Sample(
        filepath=file,
        tags=[first.split],
        metadata=fo.ImageMetadata(width=first.image_width, height=first.image_height, num_channels=3),
        image_id=first.image_id,
        people=len(image.people),
        queued=len(waits),
        decided=sum(handle["reviewer"] is not None for handle in made),
        uncertainty=_highest(waits, "uncertainty"),
        disagreement=_highest(waits, "disagreement"),
    )


def _highest(rows: Sequence[Row], column: str) -> float | None:
    return max((row[column] for row in rows if row[column] is not None and np.isfinite(row[column])), default=None)


def _fields(image: ImageRecord, skeleton: Skeleton) -> dict[str, labels.Document]:
    people, rows, decisions = image.people, image.rows, image.decisions
    shown = [person for person in people if person.person_id in {number for number, _ in (*rows, *decisions)}]
    found: dict[str, list] = {field: [] for field in handles.FIELDS}
    for person in shown:
        for number, name in enumerate(skeleton.joints):
            row, decision = rows.get((person.person_id, name)), decisions.get((person.person_id, name))
            if row or person.visibility[number] > 0 or (decision and decision.visibility > 0):
                found["proposed" if row else "annotated"].append(_handle(person, number, name, row, decision))
    after = [_after(person, image, skeleton) for person in shown]
    return {
        "before": labels.label_list("Keypoints", [labels.ground_truth_label(person) for person in people]),
        "after": labels.label_list("Keypoints", [labels.pose_label(person) for person in after]),
        "boxes": labels.label_list("Detections", [labels.box_label(person) for person in people]),
        **{field: labels.label_list("Detections", made) for field, made in found.items()},
    }


def _handle(
    person: PersonAnnotation, number: int, name: str, row: Row | None, decision: Decision | None
) -> labels.Document:
    x, y = person.keypoints_xy[number].tolist()
    before = Label(x, y, int(person.visibility[number]), Occluder(person.occluder[number]).name.lower())
    joint = Joint(person.person_id, name, before, _proposal(row) if row else None)
    if row is None:
        return handles.make_handle(person, joint, "annotated", decision)
    metrics = {name: row[name] for name in ("confidence", "uncertainty", "disagreement")}
    metrics = {name: value if value is not None and np.isfinite(value) else None for name, value in metrics.items()}
    evidence = {"reason": row["reason"], "sources": ", ".join(row["sources"] or [])}
    return handles.make_handle(person, joint, standing(row), decision, **metrics, **evidence)


def _proposal(row: Row) -> Label:
    return Label(row["x"], row["y"], row["visibility"], row["occluder"])


def _after(person: PersonAnnotation, image: ImageRecord, skeleton: Skeleton) -> PersonAnnotation:
    """A person with what stands now: decisions, else what the stage accepted by itself, else the annotation."""
    accepted = {key: _proposal(row) for key, row in image.rows.items() if standing(row) == "automatic"}
    standing_labels = accepted | {key: Label(*decision.label) for key, decision in image.decisions.items()}
    xy, visibility, occluder = person.keypoints_xy.copy(), person.visibility.copy(), person.occluder.copy()
    for number, name in enumerate(skeleton.joints):
        label = standing_labels.get((person.person_id, name))
        if label:
            xy[number], visibility[number] = (label.x, label.y), label.visibility
            occluder[number] = Occluder[label.occluder.upper()]
    return replace(person, keypoints_xy=xy, visibility=visibility, occluder=occluder)
