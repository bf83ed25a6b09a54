"""Builds a FiftyOne dataset from annotations and predictions, one sample per image."""

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
from dag.review.appearance import set_appearance
from dag.review.poses import Poses, headline_output, pose_labels
from dag.review.saved_views import save_views
from dag.skeleton import Skeleton
from dag.stage import progress

BATCH = 200
KEYPOINT_FIELDS = ("ground_truth", "relabelled", "original_annotations")

Images = Sequence[Sequence[PersonAnnotation]]
MakeLabel = Callable[[PersonAnnotation], labels.Document | None]


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
    """A dataset called `name` in the running database; replaces one of that name.

    Fields of a sample: `ground_truth` and one field per output (`fo.Keypoints`, see `prediction_label`), `relabelled`
    joints, `original_annotations` of the persons with relabelled joints, `boxes`, `segmentation`; `image_id`,
    `num_persons` with keypoints, `occlusion_ratio` of their labelled joints, number of `relabelled_joints`, `worst_oks`
    (lowest OKS of a person, headline output). With `compared`, poses of the second output have `oks_change`, their OKS
    minus that of the first output's pose of the same person; a sample has the lowest.

    Args:
        persons: annotations; crowd regions and persons without keypoints get a box and no pose.
        outputs: predictions by name of the output; may be empty.
        images_root: folder that `image_path` is relative to.
        annotated: the annotations before relabelling.
        compared: two of the outputs; the second is the headline output.

    Raises:
        UserError: an image is missing, person ids are not unique, or the person of a prediction is unknown.
    """
    by_key = {(person.image_id, person.person_id): person for person in persons}
    if len(by_key) < len(persons):
        got = f"{len(persons)} annotations with {len(by_key)} ids"
        raise UserError("person ids are not unique", expected="one annotation per id", got=got, do="choose one split")
    poses = pose_labels(persons, outputs, skeleton)
    if compared:
        _add_oks_changes(poses, *compared)
    images: dict[str, list[PersonAnnotation]] = defaultdict(list)
    for person in persons:
        images[person.image_path].append(person)
    files = [image_file(images_root, image_path) for image_path in images]
    headline = compared[1] if compared else headline_output(list(outputs))
    if fo.dataset_exists(name):
        fo.delete_dataset(name)
    dataset = fo.Dataset(name, persistent=True)
    _declare_fields(dataset, list(outputs))
    _add_images(dataset, files, list(images.values()), poses, headline)
    _add_labels(dataset, list(images.values()), _label_makers(annotated), poses, list(outputs))
    active = [*compared, "oks_change"] if compared else [headline, "worst_oks"] if headline else []
    set_appearance(dataset, skeleton, list(outputs), active)
    save_views(dataset, headline)
    return dataset


def image_file(images_root: str | Path, image_path: str) -> str:
    """Absolute path of an image.

    Raises:
        UserError: it is missing.
    """
    path = inside(images_root, image_path).resolve()
    if not path.is_file():
        raise UserError("missing image", where=path, do="check the data root and fetch the file again")
    return str(path)


def _declare_fields(dataset: fo.Dataset, outputs: Sequence[str]) -> None:
    for field in (*KEYPOINT_FIELDS, *outputs):
        dataset.add_sample_field(field, fo.EmbeddedDocumentField, embedded_doc_type=fo.Keypoints)
        dataset.add_sample_field(f"{field}.keypoints.person_id", fo.IntField)
        dataset.add_sample_field(f"{field}.keypoints.occluder", fo.ListField, subfield=fo.StringField)
    for field in KEYPOINT_FIELDS:
        dataset.add_sample_field(f"{field}.keypoints.visibility", fo.ListField, subfield=fo.StringField)
    for field in outputs:
        for name in ("oks", "score", "oks_change"):
            dataset.add_sample_field(f"{field}.keypoints.{name}", fo.FloatField)
        for name in ("inversion_joints", "swap_joints", "miss_joints", "swapped_with"):
            dataset.add_sample_field(f"{field}.keypoints.{name}", fo.IntField)
        for name in ("error_kind", "strata"):
            dataset.add_sample_field(f"{field}.keypoints.{name}", fo.ListField, subfield=fo.StringField)
        dataset.add_sample_field(f"{field}.keypoints.error", fo.ListField, subfield=fo.FloatField)
    for field in ("boxes", "segmentation"):
        dataset.add_sample_field(field, fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
        dataset.add_sample_field(f"{field}.detections.person_id", fo.IntField)
    for field in ("image_id", "num_persons", "relabelled_joints"):
        dataset.add_sample_field(field, fo.IntField)
    for field in ("occlusion_ratio", *(["worst_oks", "oks_change"] if outputs else [])):
        dataset.add_sample_field(field, fo.FloatField)


def _add_images(dataset: fo.Dataset, files: Sequence[str], images: Images, poses: Poses, headline: str | None) -> None:
    loaded = progress(zip(files, images), "loading images", total=len(files))
    samples = (_sample(file, persons, poses, headline) for file, persons in loaded)
    # All fields are declared: FiftyOne need not infer the schema from every sample.
    dataset.add_samples(samples, expand_schema=False, validate=False, batcher=False, progress=False)
    gc.collect()  # FiftyOne reloads every sample that is still in memory, each time one of its fields is set


def _add_labels(
    dataset: fo.Dataset,
    images: Images,
    makers: dict[str, tuple[str, MakeLabel]],
    poses: Poses,
    outputs: Sequence[str],
) -> None:
    loaded = iter(progress(images, "loading labels", total=len(images)))
    start = 0
    while batch := list(islice(loaded, BATCH)):
        view: Any = dataset[start : start + len(batch)]
        start += len(batch)
        for field, (kind, make) in makers.items():
            values = [labels.label_list(kind, [make(person) for person in persons]) for persons in batch]
            view.set_values(field, values, expand_schema=False, validate=False)
        for output in outputs:
            predicted = [poses.get((output, persons[0].image_id), []) for persons in batch]
            values = [labels.label_list("Keypoints", each) for each in predicted]
            view.set_values(output, values, expand_schema=False, validate=False)


def _sample(file: str, persons: Sequence[PersonAnnotation], poses: Poses, headline: str | None) -> fo.Sample:
    """An image with its metrics, without labels."""
    first = persons[0]
    predicted = poses.get((headline or "", first.image_id), [])
    similarities = [pose["oks"] for pose in predicted if pose["oks"] is not None]
    changes = [pose["oks_change"] for pose in predicted if pose.get("oks_change") is not None]
    labelled = sum(person.num_keypoints for person in persons)
    occluded = sum(int(occluded_joints(person.visibility).sum()) for person in persons)
    return fo.Sample(
        filepath=file,
        tags=[first.split],
        metadata=fo.ImageMetadata(width=first.image_width, height=first.image_height, num_channels=3),
        image_id=first.image_id,
        num_persons=sum(person.num_keypoints > 0 for person in persons),
        occlusion_ratio=occluded / labelled if labelled else None,
        relabelled_joints=sum(int(labels.relabelled_joints(person).sum()) for person in persons),
        **({"worst_oks": min(similarities, default=None)} if headline else {}),
        **({"oks_change": min(changes)} if changes else {}),
    )


def _label_makers(annotated: Sequence[PersonAnnotation]) -> dict[str, tuple[str, MakeLabel]]:
    """Ground-truth label fields -> kind of the label list, and the function from an annotation to a label or None."""
    before = {person.person_id: person for person in annotated}

    def original_label(person: PersonAnnotation) -> labels.Document | None:
        changed = person.person_id in before and labels.relabelled_joints(person).any()
        return labels.ground_truth_label(before[person.person_id]) if changed else None

    return {
        "original_annotations": ("Keypoints", original_label),
        "ground_truth": ("Keypoints", labels.ground_truth_label),
        "relabelled": ("Keypoints", labels.relabelled_label),
        "boxes": ("Detections", labels.box_label),
        "segmentation": ("Detections", labels.mask_label),
    }


def _add_oks_changes(poses: Poses, first: str, second: str) -> None:
    before = {
        label["person_id"]: label["oks"] for (output, _), group in poses.items() if output == first for label in group
    }
    for (output, _), group in poses.items():
        for label in group if output == second else []:
            old, new = before.get(label["person_id"]), label["oks"]
            label["oks_change"] = None if old is None or new is None else new - old
