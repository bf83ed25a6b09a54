"""What there is to review: the images of the relabel stage's queue with everybody in them, and no others."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dag.annotation import PersonAnnotation, Visibility, read_annotation_table, table_skeleton, table_to_annotations
from dag.errors import UserError
from dag.relabel.reviews import Decision
from dag.skeleton import Skeleton

Row = dict[str, Any]
COLUMNS = ["split", "image_id", "person_id", "joint", "visibility_before", "x", "y", "visibility", "occluder"]
COLUMNS += ["confidence", "uncertainty", "disagreement", "sources", "reason", "decision"]
AGAIN = "run `dvc repro relabel`"


@dataclass(frozen=True)
class ImageRecord:
    """What of an image is reviewed: its people, the queue's rows by (person id, joint), and what was decided."""

    people: Sequence[PersonAnnotation]
    rows: Mapping[tuple[int, str], Row]
    decisions: Mapping[tuple[int, str], Decision]


def standing(row: Row) -> str:
    """What a row says while no person has decided: "automatic" where the stage took it by itself, or "queued"."""
    return "automatic" if row["decision"] == "accepted" else "queued"


def read_queue(
    queue: str | Path, persons: str | Path, decisions: Iterable[Decision], *, split: str | None, people: int
) -> tuple[list[ImageRecord], Skeleton, int]:
    """Images with a proposal that waits, or with a joint that somebody decided about, and everybody in them.

    Args:
        queue: table that the relabel stage writes.
        persons: rows as annotated.
        decisions: the standing ones.
        people: at most so many people whose joints wait, the least certain first.

    Returns:
        The images, the skeleton, and how many people wait in all.

    Raises:
        UserError: a table is missing or is none, nothing waits, or the tables are not of the same people.
    """
    try:
        table = pq.read_table(queue)
    except (FileNotFoundError, pa.ArrowInvalid) as error:
        raise UserError("not a queue of proposals", where=queue, got=error, do=AGAIN) from None
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        found = f"no {', '.join(missing)}"
        raise UserError("not a queue of proposals", where=queue, expected="its columns", got=found, do=AGAIN)
    table = table.select(COLUMNS)
    if split is not None:
        table = _rows_of(table, "split", {split})
    rows = read_annotation_table(persons, split)
    skeleton = table_skeleton(rows, persons)
    decided = {decision.key: decision for decision in decisions}
    waiting = _waiting(table, decided)
    chosen = {*waiting[:people], *(person for person, _ in decided)}
    image_ids = set(_rows_of(rows, "person_id", chosen)["image_id"].to_pylist())
    found = table_to_annotations(_rows_of(rows, "image_id", image_ids))
    if not found:
        raise UserError("nothing to review", where=queue, do="run `dvc repro relabel`, or choose another split")
    if len({person.person_id for person in found}) < len(found):
        raise UserError("person ids are not unique", where=persons, do="choose one split with --split")
    proposals = [row for row in _rows_of(table, "image_id", image_ids).to_pylist() if _is_proposal(row)]
    unknown = sorted({*chosen} & {*waiting} - {person.person_id for person in found})
    if unknown:
        raise UserError("people of the queue are not in the rows", where=queue, got=unknown[:5], do=AGAIN)
    return _queue_images(found, proposals, decided), skeleton, len(waiting)


def _rows_of(table: pa.Table, column: str, values: Iterable[int | str]) -> pa.Table:
    return table.filter(pc.field(column).isin(list(values)))


def _is_proposal(row: Row) -> bool:
    """Not what a person decided about a joint that is seen, nor what became unlabelled: no place is proposed there."""
    return row["visibility_before"] != Visibility.VISIBLE and row["visibility"] != Visibility.UNLABELLED


def _waiting(table: pa.Table, decided: Mapping[tuple[int, str], Decision]) -> list[int]:
    """Persons with undecided proposals, the least certain joint first."""
    queued = table.filter(pc.field("decision") != "accepted").sort_by([("uncertainty", "descending")])
    rows = queued.select(["person_id", "joint", "visibility_before", "visibility"]).to_pylist()
    waits = [row for row in rows if _is_proposal(row) and (row["person_id"], row["joint"]) not in decided]
    return list(dict.fromkeys(row["person_id"] for row in waits))


def _queue_images(
    people: Sequence[PersonAnnotation], rows: Sequence[Row], decided: Mapping[tuple[int, str], Decision]
) -> list[ImageRecord]:
    by_image: dict[int, tuple[list[PersonAnnotation], dict]] = defaultdict(lambda: ([], {}))
    for person in people:
        by_image[person.image_id][0].append(person)
    for row in rows:
        by_image[row["image_id"]][1][row["person_id"], row["joint"]] = row
    by_person: dict[int, dict] = defaultdict(dict)
    for key, decision in decided.items():
        by_person[key[0]][key] = decision
    found = []
    for those, theirs in by_image.values():
        about = {key: each for person in those for key, each in by_person[person.person_id].items()}
        found.append(ImageRecord(those, theirs, about))
    return found
