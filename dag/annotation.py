"""One person = one row of an Arrow table. The same schema from `convert` to `evaluate`."""

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float, Int8

from dag.errors import UserError
from dag.files import whole_file
from dag.skeleton import Skeleton, get_skeleton


class Visibility(IntEnum):
    """What is known of a joint. 0-2 are COCO's; 3 is a joint whose occlusion COCO-RE relabelled."""

    UNLABELLED = 0
    OCCLUDED = 1
    VISIBLE = 2
    RELABELLED = 3


class Source(IntEnum):
    """Where a visibility number comes from. `PROPOSED`: relabelled, and a model's results told the place."""

    NONE = 0
    ANNOTATED = 1
    LABEL_FLAG_ONLY = 2
    RELABELLED = 3
    REVIEWED = 4
    RENDERED = 5
    PASTED = 6
    PROPOSED = 7


class Occluder(IntEnum):
    """What hides a joint. A visible joint has `UNKNOWN`."""

    UNKNOWN = 0
    OBJECT = 1
    PERSON = 2
    SELF = 3
    FRAME = 4


@dataclass(frozen=True, eq=False)
class PersonAnnotation:
    """A person of an image; one row.

    Attributes:
        dataset, split: e.g. "coco", "val".
        image_id: the data set's number of the image.
        image_path: relative to the data root.
        image_width, image_height: in pixels.
        person_id: the annotation's id.
        bbox_xywh: box in image pixels, left, top, width, height.
        area: segment area in square pixels (OKS scale).
        is_crowd: the row is a crowd region, not a person.
        keypoints_xy: image pixels, pixel-index frame (the centre of the first pixel is 0, 0); 0, 0 where unlabelled.
        visibility, visibility_source, occluder: `Visibility`, `Source`, `Occluder` numbers.
        segmentation: compressed COCO run lengths of the mask at image size, or None.
        crowd_index: CrowdPose's crowdIndex of the image, or None.
        max_iou: OCHuman's largest overlap of this person's box with another's, or None.
        gt_occluder: `Occluder` numbers where the data set knows the exact ground truth (rendered people), else None.
            Nothing but an evaluation may read it.
        image_hash: of the image's bytes (`dag.image.file_hash`), or None where images were not opened.
            The rows thereby change when an image does, and with them every stage that reads images.
    """

    dataset: str
    split: str
    image_id: int
    image_path: str
    image_width: int
    image_height: int
    person_id: int
    bbox_xywh: Float[np.ndarray, "4"]
    area: float
    is_crowd: bool
    keypoints_xy: Float[np.ndarray, "J 2"]
    visibility: Int8[np.ndarray, " J"]
    visibility_source: Int8[np.ndarray, " J"]
    occluder: Int8[np.ndarray, " J"]
    segmentation: str | None = None
    crowd_index: float | None = None
    max_iou: float | None = None
    gt_occluder: Int8[np.ndarray, " J"] | None = None
    image_hash: str | None = None

    @property
    def num_keypoints(self) -> int:
        """Number of labelled joints. Always counted, never stored: evaluators skip people whose count is 0."""
        return int((self.visibility > 0).sum())


def annotation_schema(skeleton: Skeleton) -> pa.Schema:
    """Arrow schema of person rows; the skeleton's name is in its metadata."""
    per_joint = pa.list_(pa.int8(), len(skeleton))
    fields = [
        ("dataset", pa.string()),
        ("split", pa.string()),
        ("image_id", pa.int64()),
        ("image_path", pa.string()),
        ("image_width", pa.int32()),
        ("image_height", pa.int32()),
        ("person_id", pa.int64()),
        ("bbox_xywh", pa.list_(pa.float64(), 4)),
        ("area", pa.float64()),
        ("is_crowd", pa.bool_()),
        ("keypoints_xy", pa.list_(pa.float64(), 2 * len(skeleton))),
        ("visibility", per_joint),
        ("visibility_source", per_joint),
        ("occluder", per_joint),
        ("segmentation", pa.string()),
        ("crowd_index", pa.float64()),
        ("max_iou", pa.float64()),
        ("gt_occluder", per_joint),
        ("image_hash", pa.string()),
    ]
    return pa.schema(fields, metadata={"dag.skeleton": skeleton.text})


def annotations_to_table(persons: list[PersonAnnotation], skeleton: Skeleton) -> pa.Table:
    """Rows to an Arrow table with `annotation_schema(skeleton)`, in the order given."""
    schema = annotation_schema(skeleton)
    columns = {field.name: [_plain(getattr(person, field.name)) for person in persons] for field in schema}
    return pa.table(columns, schema=schema)


def table_to_annotations(table: pa.Table) -> list[PersonAnnotation]:
    """Rows of an Arrow table made by `annotations_to_table`; extra columns are left out."""
    return [_to_annotation(row) for row in table.select(annotation_schema(table_skeleton(table)).names).to_pylist()]


def write_annotations(path: str | Path, persons: list[PersonAnnotation], skeleton: Skeleton) -> None:
    """Write rows as parquet, whole or not at all; same rows, same bytes."""
    with whole_file(path) as partial:
        pq.write_table(annotations_to_table(persons, skeleton), partial, compression="zstd")


def read_annotations(path: str | Path, split: str | None = None) -> tuple[list[PersonAnnotation], Skeleton]:
    """Read rows written by `write_annotations`, of one split or all.

    Raises:
        UserError: missing file, not a table of person rows, or a split without rows.
    """
    table = read_table(path, split)
    return table_to_annotations(table), table_skeleton(table, path)


def read_split(path: Path, split: str) -> tuple[list[PersonAnnotation], Skeleton]:
    """Rows of a split; none where its annotations are not public (COCO's test-dev)."""
    table = read_table(path)
    return table_to_annotations(table.filter(np.array(table["split"]) == split)), table_skeleton(table, path)


def read_table(path: str | Path, split: str | None = None) -> pa.Table:
    """As `read_annotations`, but an Arrow table, which takes a tenth of the memory."""
    try:
        table = pq.read_table(path)
    except (FileNotFoundError, pa.ArrowInvalid) as error:
        raise UserError("not a table of person rows", where=path, got=error, do="run `dvc repro convert`") from None
    table_skeleton(table, path)
    if split is None:
        return table
    known = sorted(table["split"].unique().to_pylist())
    if split not in known:
        raise UserError("no rows of this split", where=path, expected=f"one of {known}", got=repr(split))
    return table.filter(pc.field("split") == split)


def table_skeleton(table: pa.Table | pa.ipc.RecordBatchFileReader, where: object = None) -> Skeleton:
    """The skeleton that a table of person rows or predictions is written in."""
    metadata = table.schema.metadata or {}
    if b"dag.skeleton" not in metadata:
        raise UserError("table names no skeleton", where=where, do="write it with dag.annotation.write_annotations")
    return get_skeleton(metadata[b"dag.skeleton"].decode())


def _plain(value: object) -> object:
    return value.ravel() if isinstance(value, np.ndarray) else value


def _to_annotation(row: dict) -> PersonAnnotation:
    per_joint = ("visibility", "visibility_source", "occluder", "gt_occluder")
    arrays = {name: None if row[name] is None else np.array(row[name], dtype=np.int8) for name in per_joint}
    keypoints_xy = np.array(row["keypoints_xy"]).reshape(-1, 2)
    return PersonAnnotation(**{**row, **arrays, "bbox_xywh": np.array(row["bbox_xywh"]), "keypoints_xy": keypoints_xy})
