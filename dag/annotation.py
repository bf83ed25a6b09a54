"""Person annotations: one instance is one row of an Arrow table, with the same schema from `convert` to `evaluate`."""

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

BOX_AREA_FRACTION = 0.53
"""Area of a person over the area of its bounding box, used as the OKS scale where there is no segmentation.

The rule of CrowdPose's evaluator (jin-s13/xtcocoapi, cocoeval.py).
"""


class Visibility(IntEnum):
    """Visibility of a joint. 0 to 2 are COCO's values; 3 is an occluded joint labelled by relabelling (COCO-RE)."""

    UNLABELLED = 0
    OCCLUDED = 1
    VISIBLE = 2
    RELABELLED = 3


class Source(IntEnum):
    """Origin of a visibility value. `PROPOSED`: relabelled with a location from a pose model's results."""

    NONE = 0
    ANNOTATED = 1
    LABEL_FLAG_ONLY = 2
    RELABELLED = 3
    REVIEWED = 4
    RENDERED = 5
    PASTED = 6
    PROPOSED = 7


class Occluder(IntEnum):
    """What occludes a joint. A visible joint has `UNKNOWN`."""

    UNKNOWN = 0
    OBJECT = 1
    PERSON = 2
    SELF = 3
    FRAME = 4


@dataclass(frozen=True, eq=False)
class PersonAnnotation:
    """Annotation of one person instance, or of a crowd region.

    Attributes:
        dataset, split: e.g. "coco", "val".
        image_id: id of the image in its data set.
        image_path: relative to the data root.
        image_width, image_height: in pixels.
        person_id: id of the annotation.
        bbox_xywh: bounding box in image pixels: left, top, width, height.
        area: segment area in square pixels (OKS scale).
        is_crowd: the annotation is a crowd region, not one person.
        keypoints_xy: image pixels, pixel-index frame (the centre of the first pixel is 0, 0); 0, 0 where unlabelled.
        visibility, visibility_source, occluder: `Visibility`, `Source`, `Occluder` values.
        segmentation: counts of the mask's compressed COCO RLE at image size, or None.
        crowd_index: CrowdPose's crowdIndex of the image, or None.
        max_iou: OCHuman's largest overlap of this person's box with another's, or None.
        gt_occluder: `Occluder` values where the data set has exact ground truth (synthetic people), else None.
            Only an evaluation may read it.
        image_hash: hash of the image file (`dag.image.file_hash`), or None where images were not opened.
            With it, the annotations change when an image does, and DVC reruns every stage that reads images.
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
        """Number of labelled joints. It is counted, never stored: evaluators ignore instances whose count is 0."""
        return int((self.visibility > 0).sum())

    @property
    def is_evaluated(self) -> bool:
        """Whether keypoint evaluators count this instance: at least one labelled joint, and not a crowd region."""
        return self.num_keypoints > 0 and not self.is_crowd


def annotation_schema(skeleton: Skeleton) -> pa.Schema:
    """Arrow schema of annotations; its metadata holds the skeleton (`Skeleton.text`)."""
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
    """Arrow table of annotations with `annotation_schema(skeleton)`, in the given order."""
    schema = annotation_schema(skeleton)
    columns = {field.name: [_plain(getattr(person, field.name)) for person in persons] for field in schema}
    return pa.table(columns, schema=schema)


def table_to_annotations(table: pa.Table) -> list[PersonAnnotation]:
    """Annotations of a table made by `annotations_to_table`; extra columns are ignored."""
    return [_to_annotation(row) for row in table.select(annotation_schema(table_skeleton(table)).names).to_pylist()]


def write_annotations(path: str | Path, persons: list[PersonAnnotation], skeleton: Skeleton) -> None:
    """Write annotations as parquet, atomically. The same annotations give the same bytes."""
    with whole_file(path) as partial:
        pq.write_table(annotations_to_table(persons, skeleton), partial, compression="zstd")


def read_annotations(path: str | Path, split: str | None = None) -> tuple[list[PersonAnnotation], Skeleton]:
    """Read the annotations of one split, or of all splits.

    Raises:
        UserError: missing file, not a table of annotations, or no annotations of this split.
    """
    table = read_annotation_table(path, split)
    return table_to_annotations(table), table_skeleton(table, path)


def read_split(path: str | Path, split: str) -> tuple[list[PersonAnnotation], Skeleton]:
    """As `read_annotations`, but a split without annotations gives an empty list.

    The annotations of COCO's test-dev are not public: its images are predicted, not evaluated.
    """
    table = read_annotation_table(path)
    return table_to_annotations(table.filter(pc.field("split") == split)), table_skeleton(table, path)


def read_annotation_table(path: str | Path, split: str | None = None) -> pa.Table:
    """As `read_annotations`, but returns the Arrow table, which takes a tenth of the memory."""
    try:
        table = pq.read_table(path)
    except (FileNotFoundError, pa.ArrowInvalid) as error:
        raise UserError("not a table of annotations", where=path, got=error, do="run `dvc repro convert`") from None
    table_skeleton(table, path)
    if split is None:
        return table
    known = sorted(table["split"].unique().to_pylist())
    if split not in known:
        raise UserError("no annotations of this split", where=path, expected=f"one of {known}", got=repr(split))
    return table.filter(pc.field("split") == split)


def table_skeleton(table: pa.Table | pa.ipc.RecordBatchFileReader, where: object = None) -> Skeleton:
    """Skeleton of a table of annotations or predictions, from its metadata.

    Raises:
        UserError: the metadata holds no skeleton.
    """
    metadata = table.schema.metadata or {}
    if b"dag.skeleton" not in metadata:
        raise UserError("table without a skeleton", where=where, do="write it with dag.annotation.write_annotations")
    return get_skeleton(metadata[b"dag.skeleton"].decode())


def _plain(value: object) -> object:
    return value.ravel() if isinstance(value, np.ndarray) else value


def _to_annotation(row: dict) -> PersonAnnotation:
    per_joint = ("visibility", "visibility_source", "occluder", "gt_occluder")
    arrays = {name: None if row[name] is None else np.array(row[name], dtype=np.int8) for name in per_joint}
    keypoints_xy = np.array(row["keypoints_xy"]).reshape(-1, 2)
    return PersonAnnotation(**{**row, **arrays, "bbox_xywh": np.array(row["bbox_xywh"]), "keypoints_xy": keypoints_xy})
