"""Joints that relabelling looks at, one row each: what was, what is proposed, why, and what was decided."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dag.files import whole_file

ACCEPTED, QUEUED = "accepted", "queued"


@dataclass(frozen=True)
class Candidate:
    """A joint and its new label.

    Attributes:
        dataset, split, image_id, person_id: whose.
        joint: its name.
        x_before, y_before, visibility_before: the label as annotated; image pixels, pixel-index frame.
        x, y, visibility, occluder: the label proposed, or decided by a person; names of occluders in lower case.
        confidence: calibrated probability that the place is within OKS .5 and in the image; 1 where it was
            annotated.
        uncertainty: calibrated standard deviation in OKS units, pixels / (sqrt(area) 2 sigma); 0 where annotated.
        disagreement: largest distance between two sources in OKS units; NaN where there is one or none.
        sources: of the place: names of results files, "prior"; nothing where it was annotated.
        reason: of the occluder (dag.relabel.occluder.Reason).
        decision: "accepted" by the stage, "queued" for a person, or what a person decided: accept, reject, move, flag.
        reviewer, time: of a person's decision.
    """

    dataset: str
    split: str
    image_id: int
    person_id: int
    joint: str
    x_before: float
    y_before: float
    visibility_before: int
    x: float
    y: float
    visibility: int
    occluder: str
    confidence: float
    uncertainty: float
    disagreement: float
    sources: tuple[str, ...]
    reason: str
    decision: str
    reviewer: str | None = None
    time: str | None = None

    @property
    def person(self) -> tuple[str, int]:
        """Whose joint: split and id, as each split's file may count from 1."""
        return self.split, self.person_id

    @property
    def is_change(self) -> bool:
        """The label is another than the annotated one."""
        return self.decision not in (QUEUED, "reject")


KINDS = {str: pa.string(), float: pa.float64(), int: pa.int64(), tuple[str, ...]: pa.list_(pa.string())}
SMALL = ("visibility_before", "visibility")
SCHEMA = pa.schema(
    [
        (field.name, pa.int8() if field.name in SMALL else KINDS.get(field.type, pa.string()))  # type: ignore[call-overload]
        for field in fields(Candidate)
    ]
)


def write_candidates(path: str | Path, candidates: Iterable[Candidate]) -> None:
    """Write rows as parquet, whole or not at all; same rows, same bytes."""
    rows = list(candidates)
    columns = {field.name: [getattr(row, field.name) for row in rows] for field in SCHEMA}
    with whole_file(path) as partial:
        pq.write_table(pa.table(columns, schema=SCHEMA), partial, compression="zstd")
