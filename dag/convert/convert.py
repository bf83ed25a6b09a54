"""A data set to one table of checked person rows, and a report of what it holds."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from dag.annotation import PersonAnnotation, Source, Visibility, write_annotations
from dag.convert.coco import image_records, persons_of, read_images, read_lists
from dag.convert.validation import Fault, stop_on_faults
from dag.errors import UserError
from dag.files import write_json
from dag.image import ImageRecord, write_image_table
from dag.skeleton import Skeleton

Lists = dict[str, list[dict[str, Any]]]
Repair = Callable[[Lists, "Split"], tuple[Lists, dict[str, Any]]]
"""What is known to be wrong with a data set's files, put right: better lists, and notes for the report."""

AREA_OF_BOX = 0.53
"""Segment area over box area, where there are no segments: what CrowdPose's evaluation takes (jin-s13/xtcocoapi)."""


@dataclass(frozen=True)
class Split:
    """A split's files.

    Attributes:
        name: e.g. "train".
        annotations: its json.
        image_folder: of its images, relative to the data root.
    """

    name: str
    annotations: Path
    image_folder: str


def no_repair(content: Lists, split: Split) -> tuple[Lists, dict[str, Any]]:
    """A `Repair` for sound files."""
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
    """Read, check and write a data set in COCO's layout. Images without a row are not opened.

    Args:
        root: data root.
        splits: one whose annotation file is missing is left out, as long as there is another.
        source: where visibility comes from.
        repair: applied to each file's lists before they are checked.
        unannotated: splits to predict, whose files hold images only; left out where missing.
        invalid_annotations, workers, check_images, out, images, report: as `write_rows`.

    Raises:
        UserError: nothing to convert, a broken file, or (with "stop") a bad row. Nothing is written.
    """
    found = [split for split in splits if split.annotations.exists()]
    if not found:
        names = " or ".join(str(split.annotations) for split in splits)
        raise UserError("no annotation file", where=root, expected=names, do=f"set datasets.{dataset}.root")
    persons: list[PersonAnnotation] = []
    faults: list[Fault] = []
    notes: dict[str, Any] = {}
    known: list[ImageRecord] = []
    for split in unannotated:
        if split.annotations.exists():
            images_list, where = read_images(split.annotations), str(split.annotations)
            known += image_records(images_list, where, split=split.name, image_folder=split.image_folder)
    for split in found:
        content, split_notes = repair(read_lists(split.annotations), split)
        known += image_records(
            content["images"], str(split.annotations), split=split.name, image_folder=split.image_folder
        )
        rows, row_faults = persons_of(
            content, str(split.annotations), dataset=dataset, split=split.name, skeleton=skeleton,
            image_folder=split.image_folder, source=source,
        )  # fmt: skip
        persons, faults = persons + rows, faults + row_faults
        notes |= {split.name: split_notes} if split_notes else {}
    write_rows(
        persons, faults, notes, skeleton, root=root, invalid_annotations=invalid_annotations, workers=workers, check_images=check_images, out=out,
        images=images, report=report, known=known,
    )  # fmt: skip


def write_rows(
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
    known: Sequence[ImageRecord] = (),
) -> None:
    """Open the images of all rows, then write the rows and a report.

    Args:
        faults: found while reading.
        notes: for the report, as "corrected".
        root: data root.
        invalid_annotations: "stop" raises at the first fault, "drop" leaves rows out and lists them in the report.
        workers: threads that open images.
        check_images: false where the images are not there: the rows are good for counting and evaluating.
        out: table of person rows (parquet), in the order given.
        images: table of the rows' images and of the `known` ones, on which there may be nobody.
        report: json, the counts of `summarise` for each split, notes and faults.

    Raises:
        UserError: no good row, one id in two splits, or (with "stop") a fault. Nothing is written.
    """
    if check_images:
        hashes, bad_photographs = check_images(persons, root, workers)
        faults = [*faults, *bad_photographs.values()]
        persons = [replace(row, image_hash=hashes[row.image_path]) for row in persons if row.image_path in hashes]
    if invalid_annotations == "stop":
        stop_on_faults(faults)
    if not persons:
        raise UserError("empty data set", where=root, expected="at least one good row", got=f"{len(faults)} faults")
    _refuse_shared_ids(persons, root)
    splits = dict.fromkeys(person.split for person in persons)
    counts = {split: summarise([person for person in persons if person.split == split]) for split in splits}
    write_annotations(out, persons, skeleton)
    write_image_table(images, [*known, *(ImageRecord(p.split, p.image_id, p.image_path) for p in persons)])
    dropped = [asdict(fault) for fault in faults]
    write_json(report, {**counts, "corrected": notes, "faults": len(faults), "dropped": dropped})


def summarise(persons: list[PersonAnnotation]) -> dict[str, Any]:
    """Counts of images, people, crowd regions and people without keypoints; joints by visibility (crowds left out)."""
    people = [person for person in persons if not person.is_crowd]
    joints = {code.name.lower(): sum(int((p.visibility == code).sum()) for p in people) for code in Visibility}
    return {
        "images": len({person.image_id for person in persons}),
        "instances": len(people),
        "people_without_keypoints": sum(person.num_keypoints == 0 for person in people),
        "crowds": len(persons) - len(people),
        "joints": joints,
    }


def _refuse_shared_ids(persons: list[PersonAnnotation], root: Path) -> None:
    """Ids name a row in every later stage, whatever its split."""
    splits: dict[tuple[str, int], str] = {}
    for person in persons:
        for kind, number in (("annotation", person.person_id), ("image", person.image_id)):
            first = splits.setdefault((kind, number), person.split)
            if first != person.split:
                raise UserError(
                    "one id in two splits",
                    where=f"{root}: {kind} {number}",
                    expected="ids of its own for each split",
                    got=f"{first} and {person.split}",
                    do="renumber one of the files",
                )
