"""Reads the review queue: the images with queued or decided joints, and all persons in them."""

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
from dag.relabel.candidates import ACCEPTED
from dag.relabel.reviews import Decision
from dag.skeleton import Skeleton

COLUMNS = ["split", "image_id", "person_id", "joint", "visibility_before", "x", "y", "visibility", "occluder"]
COLUMNS += ["confidence", "uncertainty", "disagreement", "sources", "reason", "decision"]
RELABEL = "run `dvc repro relabel`"

Proposal = dict[str, Any]
"""A row of the queue, by column name (`dag.relabel.candidates.Candidate`)."""
JointKey = tuple[int, str]
"""Person id and joint name."""


@dataclass(frozen=True)
class QueuedImage:
    """An image to review: all its persons, the proposals for its joints, and the standing decisions."""

    persons: Sequence[PersonAnnotation]
    proposals: Mapping[JointKey, Proposal]
    decisions: Mapping[JointKey, Decision]


def undecided_state(proposal: Proposal) -> str:
    """State of a proposal without a review decision: "automatic" if the relabel stage accepted it, else "queued"."""
    return "automatic" if proposal["decision"] == ACCEPTED else "queued"


def read_queue(
    queue: str | Path, annotations: str | Path, decisions: Iterable[Decision], *, split: str | None, max_persons: int
) -> tuple[list[QueuedImage], Skeleton, int]:
    """Images with a queued proposal or a decided joint.

    Args:
        queue: table that the relabel stage writes.
        annotations: table of the annotations before relabelling.
        decisions: the standing ones.
        max_persons: maximum number of persons with queued joints, the least certain first.

    Returns:
        The images, the skeleton, and the number of persons with queued joints before the limit.

    Raises:
        UserError: a table is missing or malformed, no joint is queued, or the tables are of different persons.
    """
    table = _read_table(queue)
    if split is not None:
        table = _select(table, "split", {split})
    rows = read_annotation_table(annotations, split)
    skeleton = table_skeleton(rows, annotations)
    decided = {decision.key: decision for decision in decisions}
    queued = _queued_persons(table, decided)
    chosen = {*queued[:max_persons], *(person_id for person_id, _ in decided)}
    image_ids = set(_select(rows, "person_id", chosen)["image_id"].to_pylist())
    persons = table_to_annotations(_select(rows, "image_id", image_ids))
    if not persons:
        raise UserError("no joints to review", where=queue, do=f"{RELABEL}, or choose another split")
    known = {person.person_id for person in persons}
    if len(known) < len(persons):
        raise UserError("person ids are not unique", where=annotations, do="choose one split with --split")
    proposals = [row for row in _select(table, "image_id", image_ids).to_pylist() if _is_proposal(row)]
    unknown = sorted({*chosen} & {*queued} - known)
    if unknown:
        raise UserError("persons of the queue have no annotation", where=queue, got=unknown[:5], do=RELABEL)
    return _images(persons, proposals, decided), skeleton, len(queued)


def _read_table(queue: str | Path) -> pa.Table:
    what = "not a queue of proposals"
    try:
        table = pq.read_table(queue)
    except (FileNotFoundError, pa.ArrowInvalid) as error:
        raise UserError(what, where=queue, got=error, do=RELABEL) from None
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        got = f"no {', '.join(missing)}"
        raise UserError(what, where=queue, expected="its columns", got=got, do=RELABEL)
    return table.select(COLUMNS)


def _select(table: pa.Table, column: str, values: Iterable[int | str]) -> pa.Table:
    return table.filter(pc.field(column).isin(list(values)))


def _is_proposal(row: Proposal) -> bool:
    """Whether a row proposes a location: not a review decision about a visible joint, nor one made unlabelled."""
    return row["visibility_before"] != Visibility.VISIBLE and row["visibility"] != Visibility.UNLABELLED


def _queued_persons(table: pa.Table, decided: Mapping[JointKey, Decision]) -> list[int]:
    """Ids of persons with a proposal that is neither accepted nor decided, the least certain joint first."""
    queued = table.filter(pc.field("decision") != ACCEPTED).sort_by([("uncertainty", "descending")])
    rows = queued.select(["person_id", "joint", "visibility_before", "visibility"]).to_pylist()
    undecided = [row for row in rows if _is_proposal(row) and (row["person_id"], row["joint"]) not in decided]
    return list(dict.fromkeys(row["person_id"] for row in undecided))


def _images(
    persons: Sequence[PersonAnnotation], proposals: Sequence[Proposal], decided: Mapping[JointKey, Decision]
) -> list[QueuedImage]:
    by_image: dict[int, tuple[list[PersonAnnotation], dict, dict]] = defaultdict(lambda: ([], {}, {}))
    by_person: dict[int, dict[JointKey, Decision]] = defaultdict(dict)
    for key, decision in decided.items():
        by_person[key[0]][key] = decision
    for person in persons:
        by_image[person.image_id][0].append(person)
        by_image[person.image_id][2].update(by_person[person.person_id])
    for row in proposals:
        by_image[row["image_id"]][1][row["person_id"], row["joint"]] = row
    return [QueuedImage(*parts) for parts in by_image.values()]
