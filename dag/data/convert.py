"""A data set in COCO's layout to one table of checked person rows, and a report of what it holds."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from dag.data.coco_json import read_coco
from dag.data.validate import Fault, check_photographs, stop_on_faults
from dag.errors import UserError
from dag.files import write_json
from dag.person import Person, Source, Visibility, write_persons
from dag.skeleton import Skeleton


def convert_coco(
    root: Path,
    splits: dict[str, tuple[str, str]],
    *,
    dataset: str,
    skeleton: Skeleton,
    source: Source,
    bad_rows: Literal["stop", "drop"],
    workers: int,
    out: Path,
    report: Path,
) -> None:
    """Read, check and write a data set. Photographs without a row are not opened.

    Args:
        root: data root.
        splits: split name to its annotation file and its folder of photographs, both relative to `root`. A split whose
            annotation file is missing is left out, as long as there is another.
        source: where visibility comes from.
        bad_rows: "stop" raises at the first fault, "drop" leaves rows out and lists them in the report.
        workers: threads that open photographs.
        out: table of person rows (parquet), splits one after the other, each in its file's order.
        report: json, the counts of `summarise` for each split and the faults.

    Raises:
        UserError: nothing to convert, a broken file, or (with "stop") a bad row. Nothing is written.
    """
    found = {split: places for split, places in splits.items() if (root / places[0]).exists()}
    if not found:
        names = " or ".join(annotations for annotations, _ in splits.values())
        raise UserError("no annotation file", where=root, expected=names, do=f"set datasets.{dataset}.root")
    persons: list[Person] = []
    faults: list[Fault] = []
    for split, (annotations, folder) in found.items():
        rows, row_faults = read_coco(
            root / annotations, dataset=dataset, split=split, skeleton=skeleton, image_folder=folder, source=source
        )
        persons += rows
        faults += row_faults
    hashes, bad_photographs = check_photographs(persons, root, workers)
    faults += bad_photographs.values()
    if bad_rows == "stop":
        stop_on_faults(faults)
    kept = [replace(person, image_hash=hashes[p]) for person in persons if (p := person.image_path) in hashes]
    if not kept:
        raise UserError("empty data set", where=root, expected="at least one good row", got=f"{len(faults)} faults")
    _refuse_shared_ids(kept, root)
    counts = {split: summarise([person for person in kept if person.split == split]) for split in found}
    write_persons(out, kept, skeleton)
    write_json(report, {**counts, "faults": len(faults), "dropped": [asdict(fault) for fault in faults]})


def summarise(persons: list[Person]) -> dict[str, Any]:
    """Counts of images, people, crowd regions and people without keypoints; joints by visibility (crowds left out)."""
    people = [person for person in persons if not person.is_crowd]
    joints = {code.name.lower(): sum(int((p.visibility == code).sum()) for p in people) for code in Visibility}
    return {
        "images": len({person.image_id for person in persons}),
        "people": len(people),
        "people_without_keypoints": sum(person.num_keypoints == 0 for person in people),
        "crowds": len(persons) - len(people),
        "joints": joints,
    }


def _refuse_shared_ids(persons: list[Person], root: Path) -> None:
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
