"""Stage `convert`: a data set's official files to one validated table of annotations, an image table and a report."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from dag.annotation import PersonAnnotation, Source, Visibility, write_annotations
from dag.convert.coco import image_records, parse_annotations, read_images, read_lists
from dag.convert.validation import Fault, stop_on_faults, validate_images
from dag.errors import UserError
from dag.files import write_json
from dag.image import ImageRecord, write_image_table
from dag.skeleton import Skeleton

Lists = dict[str, list[dict[str, Any]]]
"""The lists `images`, `annotations` and `categories` of a COCO json."""

Repair = Callable[[Lists, "Split"], tuple[Lists, dict[str, Any]]]
"""Corrects known faults of a data set's files: returns the corrected lists and notes for the report."""


@dataclass(frozen=True)
class Split:
    """Files of a split.

    Attributes:
        name: e.g. "train".
        annotations: COCO json.
        image_folder: folder of the images, relative to the data root.
    """

    name: str
    annotations: Path
    image_folder: str


def no_repair(content: Lists, split: Split) -> tuple[Lists, dict[str, Any]]:
    """A `Repair` that changes nothing."""
    return content, {}


def convert_coco(
    root: Path,
    splits: Sequence[Split],
    *,
    dataset: str,
    skeleton: Skeleton,
    source: Source,
    invalid_annotations: Literal["stop", "drop"],
    workers: int,
    check_images: bool,
    out: Path,
    images: Path,
    report: Path,
    repair: Repair = no_repair,
    unannotated: Sequence[Split] = (),
) -> None:
    """Read, validate and write a data set in COCO's layout. Images without annotations are not opened.

    Args:
        root: data root.
        splits: splits with annotations; those whose file is missing are ignored if another exists.
        source: source of the annotations' visibility.
        repair: applied to the lists of each file before validation.
        unannotated: splits that are only predicted, whose files have no annotations; ignored where missing.
        invalid_annotations, workers, check_images, out, images, report: see `write_dataset`.

    Raises:
        UserError: no annotation file, an invalid file, or (with "stop") an invalid annotation. Nothing is written.
    """
    existing = [split for split in splits if split.annotations.exists()]
    if not existing:
        names = " or ".join(str(split.annotations) for split in splits)
        raise UserError("no annotation file", where=root, expected=names, do=f"set datasets.{dataset}.root")
    persons: list[PersonAnnotation] = []
    faults: list[Fault] = []
    notes: dict[str, Any] = {}
    records: list[ImageRecord] = []
    for split in unannotated:
        if split.annotations.exists():
            records += _records(read_images(split.annotations), split)
    for split in existing:
        content, split_notes = repair(read_lists(split.annotations), split)
        records += _records(content["images"], split)
        split_persons, split_faults = parse_annotations(
            content, str(split.annotations), dataset=dataset, split=split.name, skeleton=skeleton,
            image_folder=split.image_folder, source=source,
        )  # fmt: skip
        persons, faults = persons + split_persons, faults + split_faults
        notes |= {split.name: split_notes} if split_notes else {}
    write_dataset(
        persons, faults, notes, skeleton, root=root, invalid_annotations=invalid_annotations, workers=workers,
        check_images=check_images, out=out, images=images, report=report, records=records,
    )  # fmt: skip


def write_dataset(
    persons: list[PersonAnnotation],
    faults: list[Fault],
    notes: dict[str, Any],
    skeleton: Skeleton,
    *,
    root: Path,
    invalid_annotations: Literal["stop", "drop"],
    workers: int,
    check_images: bool,
    out: Path,
    images: Path,
    report: Path,
    records: Sequence[ImageRecord] = (),
) -> None:
    """Validate the images of all annotations, then write the annotations, the image table and a report.

    Args:
        faults: faults of annotations that could not be read.
        notes: corrections, for the report.
        root: data root.
        invalid_annotations: "stop" raises an error for the first fault; "drop" removes the annotations with faults and
            lists them in the report.
        workers: threads that open images.
        check_images: false if the images are not available: the annotations can then be counted and evaluated only.
        out: table of annotations (parquet), in the given order.
        images: table of the annotated images and of `records` (parquet).
        report: json with the counts of `summarise` for each split, the notes and the faults.
        records: further images, with or without annotations.

    Raises:
        UserError: no valid annotation, an id in two splits, or (with "stop") a fault. Nothing is written.
    """
    if check_images:
        hashes, invalid_images = validate_images(persons, root, workers)
        faults = [*faults, *invalid_images.values()]
        persons = [replace(p, image_hash=hashes[p.image_path]) for p in persons if p.image_path in hashes]
    if invalid_annotations == "stop":
        stop_on_faults(faults)
    if not persons:
        expected = "at least one valid annotation"
        raise UserError("empty data set", where=root, expected=expected, got=f"{len(faults)} faults")
    _refuse_shared_ids(persons, root)
    splits = dict.fromkeys(person.split for person in persons)
    counts = {split: summarise([person for person in persons if person.split == split]) for split in splits}
    write_annotations(out, persons, skeleton)
    write_image_table(images, [*records, *(ImageRecord(p.split, p.image_id, p.image_path) for p in persons)])
    dropped = [asdict(fault) for fault in faults]
    write_json(report, {**counts, "corrected": notes, "faults": len(faults), "dropped": dropped})


def summarise(persons: list[PersonAnnotation]) -> dict[str, Any]:
    """Counts of images, instances, instances without keypoints and crowd regions, and of joints by visibility.

    Joints of crowd regions are not counted.
    """
    instances = [person for person in persons if not person.is_crowd]
    joints = {value.name.lower(): sum(int((p.visibility == value).sum()) for p in instances) for value in Visibility}
    return {
        "images": len({person.image_id for person in persons}),
        "instances": len(instances),
        "instances_without_keypoints": sum(person.num_keypoints == 0 for person in instances),
        "crowd_regions": len(persons) - len(instances),
        "joints": joints,
    }


def _records(images: list[dict[str, Any]], split: Split) -> list[ImageRecord]:
    return image_records(images, str(split.annotations), split=split.name, image_folder=split.image_folder)


def _refuse_shared_ids(persons: list[PersonAnnotation], root: Path) -> None:
    """Later stages identify annotations and images by their id alone, whatever the split."""
    splits: dict[tuple[str, int], str] = {}
    for person in persons:
        for kind, number in (("annotation", person.person_id), ("image", person.image_id)):
            first = splits.setdefault((kind, number), person.split)
            if first != person.split:
                raise UserError(
                    "one id in two splits",
                    where=f"{root}: {kind} {number}",
                    expected="unique ids across splits",
                    got=f"{first} and {person.split}",
                    do="renumber one of the files",
                )
