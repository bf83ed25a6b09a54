"""Annotations and predictions as a FiftyOne dataset, one sample for each image, rebuilt from files at every start."""

import gc
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import fiftyone as fo

from dag.annotation import PersonAnnotation
from dag.errors import UserError
from dag.evaluation.coco.arrays import Results
from dag.evaluation.strata import occluded_joints
from dag.files import inside
from dag.review import labels
from dag.review.look import set_look
from dag.review.poses import Poses, headline_output, pose_labels
from dag.review.views import save_views
from dag.skeleton import Skeleton
from dag.stage import progress

BATCH = 200

Images = Sequence[Sequence[PersonAnnotation]]
Maker = Callable[[PersonAnnotation], labels.Document | None]


def build_dataset(
    name: str,
    persons: Sequence[PersonAnnotation],
    outputs: Mapping[str, Results],
    skeleton: Skeleton,
    images_root: str | Path,
    *,
    annotated: Sequence[PersonAnnotation] = (),
    compared: tuple[str, str] | None = None,
) -> fo.Dataset:
    """Create the dataset `name` in the running database, replacing one with that name.

    Fields of a sample: `ground_truth` and one field for each output (`fo.Keypoints`, one label for each pose, see
    `prediction_label`), `relabelled`, `as_annotated` (relabelled persons, before relabelling), `boxes`,
    `segmentation`; `image_id`, `instances` with keypoints, `occlusion_ratio` of their labelled joints, number of
    `relabelled_joints`, `worst_oks` (lowest of a person, headline output). With `compared`, poses of the second output
    have `oks_change`, the difference from the OKS of the first output for the same person, and a sample has the lowest.

    Args:
        persons: annotations; crowd regions and persons without keypoints get a box and no pose.
        outputs: predictions by name of the output; may be empty.
        images_root: folder that `image_path` is relative to.
        annotated: annotations before relabelling.
        compared: two of the outputs; the second is the headline output.

    Raises:
        UserError: an image is missing, person ids are not unique, or a prediction is of an unknown person.
    """
    by_key = {(person.image_id, person.person_id): person for person in persons}
    if len(by_key) < len(persons):
        found = f"{len(persons)} rows with {len(by_key)} ids"
        raise UserError("person ids are not unique", expected="one row an id", got=found, do="choose one split")
    poses = pose_labels(persons, outputs, skeleton)
    if compared:
        _note_changes(poses, *compared)
    images: dict[str, list[PersonAnnotation]] = defaultdict(list)
    for person in persons:
        images[person.image_path].append(person)
    files = [image_file(images_root, image_path) for image_path in images]
    headline = compared[1] if compared else headline_output(list(outputs))
    if fo.dataset_exists(name):
        fo.delete_dataset(name)
    dataset = fo.Dataset(name, persistent=True)
    _declare(dataset, list(outputs))
    _add_images(dataset, files, list(images.values()), poses, headline)
    _add_people(dataset, list(images.values()), _makers(annotated), poses, list(outputs))
    shown = [*compared, "oks_change"] if compared else [headline, "worst_oks"] if headline else []
    set_look(dataset, skeleton, list(outputs), shown)
    save_views(dataset, headline)
    return dataset


def image_file(images_root: str | Path, image_path: str) -> str:
    """Where an image lies.

    Raises:
        UserError: it is missing.
    """
    path = inside(images_root, image_path).resolve()
    if not path.is_file():
        raise UserError("missing image", where=path, do="check the data root and fetch the file again")
    return str(path)


def _declare(dataset: fo.Dataset, outputs: Sequence[str]) -> None:
    for field in ("ground_truth", "relabelled", "as_annotated", *outputs):
        dataset.add_sample_field(field, fo.EmbeddedDocumentField, embedded_doc_type=fo.Keypoints)
        dataset.add_sample_field(f"{field}.keypoints.person_id", fo.IntField)
    for field in outputs:
        for name in ("oks", "score", "oks_change"):
            dataset.add_sample_field(f"{field}.keypoints.{name}", fo.FloatField)
        for name in ("inversion_joints", "swap_joints", "miss_joints", "swapped_with"):
            dataset.add_sample_field(f"{field}.keypoints.{name}", fo.IntField)
        for name in ("kind", "strata"):
            dataset.add_sample_field(f"{field}.keypoints.{name}", fo.ListField, subfield=fo.StringField)
        dataset.add_sample_field(f"{field}.keypoints.error", fo.ListField, subfield=fo.FloatField)
    for field in ("ground_truth", "relabelled", "as_annotated"):
        dataset.add_sample_field(f"{field}.keypoints.visibility", fo.ListField, subfield=fo.StringField)
    for field in ("ground_truth", "relabelled", "as_annotated", *outputs):
        dataset.add_sample_field(f"{field}.keypoints.occluder", fo.ListField, subfield=fo.StringField)
    for field in ("boxes", "segmentation"):
        dataset.add_sample_field(field, fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
        dataset.add_sample_field(f"{field}.detections.person_id", fo.IntField)
    for field in ("image_id", "instances", "relabelled_joints"):
        dataset.add_sample_field(field, fo.IntField)
    for field in ("occlusion_ratio", *(["worst_oks", "oks_change"] if outputs else [])):
        dataset.add_sample_field(field, fo.FloatField)


def _add_images(dataset: fo.Dataset, files: Sequence[str], images: Images, poses: Poses, headline: str | None) -> None:
    shown = progress(zip(files, images), "loading images", total=len(files))
    samples = (_sample(file, people, poses, headline) for file, people in shown)
    # Everything was declared: nothing is left to find out sample by sample.
    dataset.add_samples(samples, expand_schema=False, validate=False, batcher=False, progress=False)
    gc.collect()  # FiftyOne reloads every sample that is still in memory, each time one of its fields is set


def _add_people(
    dataset: fo.Dataset,
    images: Images,
    makers: dict[str, tuple[str, Maker]],
    poses: Poses,
    outputs: Sequence[str],
) -> None:
    shown = iter(progress(images, "loading people", total=len(images)))
    start = 0
    while batch := list(islice(shown, BATCH)):
        added: Any = dataset[start : start + len(batch)]
        start += len(batch)
        for field, (kind, maker) in makers.items():
            values = [labels.label_list(kind, [maker(person) for person in people]) for people in batch]
            added.set_values(field, values, expand_schema=False, validate=False)
        for output in outputs:
            values = [labels.label_list("Keypoints", poses.get((output, people[0].image_id), [])) for people in batch]
            added.set_values(output, values, expand_schema=False, validate=False)


def _sample(file: str, people: Sequence[PersonAnnotation], poses: Poses, headline: str | None) -> fo.Sample:
    """An image with its metrics and, as yet, without labels."""
    first = people[0]
    found = poses.get((headline or "", first.image_id), [])
    similarities = [pose["oks"] for pose in found if pose["oks"] is not None]
    changes = [pose["oks_change"] for pose in found if pose.get("oks_change") is not None]
    labelled = sum(person.num_keypoints for person in people)
    occluded = sum(int(occluded_joints(person.visibility).sum()) for person in people)
    return fo.Sample(
        filepath=file,
        tags=[first.split],
        metadata=fo.ImageMetadata(width=first.image_width, height=first.image_height, num_channels=3),
        image_id=first.image_id,
        people=sum(person.num_keypoints > 0 for person in people),
        occlusion_ratio=occluded / labelled if labelled else None,
        relabelled_joints=sum(int(labels.relabelled_joints(person).sum()) for person in people),
        **({"worst_oks": min(similarities, default=None)} if headline else {}),
        **({"oks_change": min(changes)} if changes else {}),
    )


def _makers(annotated: Sequence[PersonAnnotation]) -> dict[str, tuple[str, Maker]]:
    """For every label field of the ground truth the kind of its list and what makes a label, or None, of a person."""
    before = {person.person_id: person for person in annotated}

    def annotated_label(person: PersonAnnotation) -> labels.Document | None:
        changed = person.person_id in before and labels.relabelled_joints(person).any()
        return labels.ground_truth_label(before[person.person_id]) if changed else None

    return {
        "as_annotated": ("Keypoints", annotated_label),
        "ground_truth": ("Keypoints", labels.ground_truth_label),
        "relabelled": ("Keypoints", labels.relabelled_label),
        "boxes": ("Detections", labels.box_label),
        "segmentation": ("Detections", labels.mask_label),
    }


def _note_changes(poses: Poses, first: str, second: str) -> None:
    before = {
        label["person_id"]: label["oks"] for (output, _), found in poses.items() if output == first for label in found
    }
    for (output, _), found in poses.items():
        for label in found if output == second else []:
            old, new = before.get(label["person_id"]), label["oks"]
            label["oks_change"] = None if old is None or new is None else new - old
