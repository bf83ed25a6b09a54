"""Builds the FiftyOne dataset of the review queue, one sample per image."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np

from dag.annotation import Occluder, PersonAnnotation
from dag.relabel.reviews import Decision
from dag.review import joint_boxes, labels
from dag.review.dataset import BATCH, image_file
from dag.review.decisions import Joint, Label
from dag.review.queue import Proposal, QueuedImage, undecided_state
from dag.review.queue_appearance import set_queue_appearance
from dag.review.queue_saved_views import save_queue_views
from dag.skeleton import Skeleton
from dag.stage import progress


def build_queue_dataset(
    name: str,
    images: Sequence[QueuedImage],
    skeleton: Skeleton,
    images_root: str | Path,
    *,
    reviewer: str,
    journal: str | Path,
) -> fo.Dataset:
    """A dataset of the review queue called `name` in the running database; replaces one of that name.

    Fields of a sample: `annotated_pose` and `reviewed_pose` (`fo.Keypoints`: as annotated, and with the standing
    decisions), `proposed_joints` and `annotated_joints` (`fo.Detections`, see `dag.review.joint_boxes`), `boxes`;
    `queued_joints` and `decided_joints` (counts), `uncertainty` and `disagreement` (maximum over queued joints),
    `num_persons`, `image_id`.

    Raises:
        UserError: an image is missing.
    """
    files = [image_file(images_root, image.persons[0].image_path) for image in images]
    if fo.dataset_exists(name):
        fo.delete_dataset(name)
    dataset = fo.Dataset(name, persistent=True)
    dataset.info = {"reviewer": reviewer, "journal": str(journal)}
    _declare_fields(dataset)
    set_queue_appearance(dataset, skeleton)
    joint_boxes.make_editable(dataset, skeleton.joints)
    loaded = iter(progress(zip(files, images), "loading images", total=len(files)))
    start = 0
    while batch := list(islice(loaded, BATCH)):
        fields = [_label_fields(image, skeleton) for _, image in batch]
        samples = [_sample(file, image, values) for (file, image), values in zip(batch, fields)]
        dataset.add_samples(samples, expand_schema=False, validate=False, batcher=False, progress=False)
        del samples  # FiftyOne reloads every sample that is still in memory, each time one of its fields is set
        view: Any = dataset[start : start + len(batch)]
        for field in ("annotated_pose", "reviewed_pose", "boxes", *joint_boxes.FIELDS):
            view.set_values(field, [values[field] for values in fields], expand_schema=False, validate=False)
        start += len(batch)
    save_queue_views(dataset, skeleton)
    return dataset


def _declare_fields(dataset: fo.Dataset) -> None:
    for field in ("annotated_pose", "reviewed_pose"):
        dataset.add_sample_field(field, fo.EmbeddedDocumentField, embedded_doc_type=fo.Keypoints)
        dataset.add_sample_field(f"{field}.keypoints.person_id", fo.IntField)
        for name in ("visibility", "occluder"):
            dataset.add_sample_field(f"{field}.keypoints.{name}", fo.ListField, subfield=fo.StringField)
    joint_boxes.declare_joint_boxes(dataset)
    dataset.add_sample_field("boxes", fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    dataset.add_sample_field("boxes.detections.person_id", fo.IntField)
    for field in ("image_id", "num_persons", "queued_joints", "decided_joints"):
        dataset.add_sample_field(field, fo.IntField)
    for field in ("uncertainty", "disagreement"):
        dataset.add_sample_field(field, fo.FloatField)


def _sample(file: str, image: QueuedImage, fields: Mapping[str, Any]) -> fo.Sample:
    """An image with its counts, without labels."""
    first = image.persons[0]
    boxes = [box for field in joint_boxes.FIELDS for box in fields[field]["detections"]]
    undecided = [proposal for key, proposal in image.proposals.items() if key not in image.decisions]
    queued = [proposal for proposal in undecided if undecided_state(proposal) == "queued"]
    return fo.Sample(
        filepath=file,
        tags=[first.split],
        metadata=fo.ImageMetadata(width=first.image_width, height=first.image_height, num_channels=3),
        image_id=first.image_id,
        num_persons=len(image.persons),
        queued_joints=len(queued),
        decided_joints=sum(box["reviewer"] is not None for box in boxes),
        uncertainty=_finite_maximum(queued, "uncertainty"),
        disagreement=_finite_maximum(queued, "disagreement"),
    )


def _finite_maximum(proposals: Sequence[Proposal], column: str) -> float | None:
    values = [proposal[column] for proposal in proposals]
    return max((value for value in values if value is not None and np.isfinite(value)), default=None)


def _label_fields(image: QueuedImage, skeleton: Skeleton) -> dict[str, labels.Document]:
    persons, proposals, decisions = image.persons, image.proposals, image.decisions
    reviewed_ids = {person_id for person_id, _ in (*proposals, *decisions)}
    reviewed = [person for person in persons if person.person_id in reviewed_ids]
    boxes: dict[str, list] = {field: [] for field in joint_boxes.FIELDS}
    for person in reviewed:
        for index, joint in enumerate(skeleton.joints):
            proposal, decision = proposals.get((person.person_id, joint)), decisions.get((person.person_id, joint))
            if proposal or person.visibility[index] > 0 or (decision and decision.visibility > 0):
                field = "proposed_joints" if proposal else "annotated_joints"
                boxes[field].append(_joint_box(person, index, joint, proposal, decision))
    reviewed_poses = [_reviewed(person, image, skeleton) for person in reviewed]
    return {
        "annotated_pose": labels.label_list("Keypoints", [labels.ground_truth_label(person) for person in persons]),
        "reviewed_pose": labels.label_list("Keypoints", [labels.pose_label(person) for person in reviewed_poses]),
        "boxes": labels.label_list("Detections", [labels.box_label(person) for person in persons]),
        **{field: labels.label_list("Detections", documents) for field, documents in boxes.items()},
    }


def _joint_box(
    person: PersonAnnotation, index: int, name: str, proposal: Proposal | None, decision: Decision | None
) -> labels.Document:
    x, y = person.keypoints_xy[index].tolist()
    annotated = Label(x, y, int(person.visibility[index]), Occluder(person.occluder[index]).name.lower())
    joint = Joint(person.person_id, name, annotated, _proposed_label(proposal) if proposal else None)
    if proposal is None:
        return joint_boxes.make_joint_box(person, joint, "annotated", decision)
    metrics = {column: _finite_maximum([proposal], column) for column in ("confidence", "uncertainty", "disagreement")}
    evidence = {"reason": proposal["reason"], "sources": ", ".join(proposal["sources"] or [])}
    return joint_boxes.make_joint_box(person, joint, undecided_state(proposal), decision, **metrics, **evidence)


def _proposed_label(proposal: Proposal) -> Label:
    return Label(proposal["x"], proposal["y"], proposal["visibility"], proposal["occluder"])


def _reviewed(person: PersonAnnotation, image: QueuedImage, skeleton: Skeleton) -> PersonAnnotation:
    """The annotation with automatically accepted proposals and, over these, the standing decisions applied."""
    proposals = image.proposals.items()
    accepted = {key: _proposed_label(each) for key, each in proposals if undecided_state(each) == "automatic"}
    standing = accepted | {key: Label(*decision.label) for key, decision in image.decisions.items()}
    xy, visibility, occluder = person.keypoints_xy.copy(), person.visibility.copy(), person.occluder.copy()
    for index, name in enumerate(skeleton.joints):
        label = standing.get((person.person_id, name))
        if label:
            xy[index], visibility[index] = (label.x, label.y), label.visibility
            occluder[index] = Occluder[label.occluder.upper()]
    return replace(person, keypoints_xy=xy, visibility=visibility, occluder=occluder)
