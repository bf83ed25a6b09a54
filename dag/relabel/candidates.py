"""Candidate joints for relabelling, one per row: annotated label, proposed label, evidence and decision."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dag.annotation import PersonAnnotation
from dag.files import whole_file
from dag.skeleton import Skeleton

ACCEPTED, QUEUED = "accepted", "queued"


@dataclass(frozen=True)
class Candidate:
    """A joint and its new label.

    Attributes:
        dataset, split, image_id, person_id: of the annotation.
        joint: the joint's name.
        x_before, y_before, visibility_before: the label as annotated; image pixels, pixel-index frame.
        x, y, visibility, occluder: the proposed or reviewed label; `dag.annotation.Occluder` name in lower case.
        confidence: calibrated probability that the location is within OKS .5 and inside the image; 1 where the
            location was annotated.
        uncertainty: calibrated standard deviation in OKS units, pixels / (sqrt(area) 2 sigma); 0 where annotated.
        disagreement: largest distance between two sources in OKS units; NaN with fewer than two sources.
        sources: of the location: names of results files, "prior"; empty where the location was annotated.
        reason: of the occluder (`dag.relabel.occluder.Reason`).
        decision: "accepted" by the stage, "queued" for review, or a reviewer's action: accept, reject, move, flag.
        reviewer, time: of a reviewer's action.
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
        """Split and person id. The id alone is ambiguous where each split's file numbers its annotations from 1."""
        return self.split, self.person_id

    @property
    def is_change(self) -> bool:
        """Whether the new label replaces the annotated one."""
        return self.decision not in (QUEUED, "reject")


ARROW_TYPES = {str: pa.string(), float: pa.float64(), int: pa.int64(), tuple[str, ...]: pa.list_(pa.string())}
INT8_COLUMNS = ("visibility_before", "visibility")
SCHEMA = pa.schema(
    [
        (field.name, pa.int8() if field.name in INT8_COLUMNS else ARROW_TYPES.get(field.type, pa.string()))  # type: ignore[call-overload]
        for field in fields(Candidate)
    ]
)


def annotated_candidate(person: PersonAnnotation, joint: int, skeleton: Skeleton) -> Candidate:
    """Candidate with the annotated label, an unknown occluder, and no decision yet."""
    x, y = (float(value) for value in person.keypoints_xy[joint])
    return Candidate(
        dataset=person.dataset, split=person.split, image_id=person.image_id, person_id=person.person_id,
        joint=skeleton.joints[joint], x_before=x, y_before=y, visibility_before=int(person.visibility[joint]), x=x, y=y,
        visibility=int(person.visibility[joint]), occluder="unknown", confidence=1.0, uncertainty=0.0,
        disagreement=float("nan"), sources=(), reason="", decision=QUEUED,
    )  # fmt: skip


def write_candidates(path: str | Path, candidates: Iterable[Candidate]) -> None:
    """Write candidates as parquet, atomically. The same candidates give the same bytes."""
    rows = list(candidates)
    columns = {field.name: [getattr(row, field.name) for row in rows] for field in SCHEMA}
    with whole_file(path) as partial:
        pq.write_table(pa.table(columns, schema=SCHEMA), partial, compression="zstd")
