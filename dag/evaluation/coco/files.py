"""Reading of COCO annotation and results files of any origin into arrays, with validation."""

import gc
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import numpy as np
from jaxtyping import Float
from msgspec import Struct

from dag.annotation import BOX_AREA_FRACTION, Source
from dag.errors import UserError
from dag.evaluation.coco.arrays import GroundTruth, Results
from dag.skeleton import SKELETONS, Skeleton


class _Image(Struct, gc=False):
    id: int
    crowdIndex: float = np.nan  # noqa: N815


class _Category(Struct, gc=False):
    id: int
    keypoints: list[str] = []


class _Annotation(Struct, gc=False):
    image_id: int
    category_id: int
    keypoints: list[float]
    bbox: list[float]
    area: float | None = None
    iscrowd: int | bool = 0
    num_keypoints: int | None = None
    id: int | None = None
    max_iou: float = np.nan


class _GroundTruth(Struct, gc=False):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


class _Result(Struct, gc=False):
    image_id: int
    category_id: int
    keypoints: list[float]
    score: float
    person_id: int = -1


@contextmanager
def _collector_off() -> Iterator[None]:
    """Disable the garbage collector: its scans of the numbers read so far take a third of the reading time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_collector_off()
def read_ground_truth(
    source: str | Path | dict[str, Any], *, area_from_box: bool = False, skeleton: Skeleton | None = None
) -> tuple[GroundTruth, Skeleton]:
    """COCO annotations, given by path or as content, as arrays, and their skeleton.

    Without `num_keypoints` the labelled joints are counted; without `iscrowd` an annotation is not a crowd region.

    Args:
        area_from_box: area is `BOX_AREA_FRACTION` of the box, instead of the annotation's.
        skeleton: None: the known skeleton with the joint names of the first category.

    Raises:
        UserError: not COCO annotations, unknown joint names, several categories, or an invalid entry.
    """
    where = "ground truth" if isinstance(source, dict) else str(source)
    content = _read(source, _GroundTruth, where, "COCO annotations")
    skeleton = skeleton or _skeleton_of(content, where)
    rows = content.annotations
    if len(categories := {row.category_id for row in rows}) > 1:
        raise UserError("annotations of several categories", where=where, expected="one", got=sorted(categories))
    crowd_index = {image.id: image.crowdIndex for image in content.images}
    for number, row in enumerate(rows):
        if row.image_id not in crowd_index:
            _wrong(f"{where}, annotation {number}", "unknown image", "an id of images", row.image_id)
        if row.area is None and not area_from_box:
            _wrong(f"{where}, annotation {number}", "no area", "square pixels (crowdpose: of the box)", "none")
    keypoints = _numbers([row.keypoints for row in rows], 3 * len(skeleton), f"{where}, annotation", "keypoints")
    boxes = _numbers([row.bbox for row in rows], 4, f"{where}, annotation", "bbox")
    joints = keypoints.reshape(-1, len(skeleton), 3)
    visibility = joints[..., 2].astype(np.int8)
    counts = zip(rows, (visibility > 0).sum(1).tolist())
    image_id = np.array([row.image_id for row in rows], dtype=np.int64)
    area = (
        boxes[:, 2:].prod(1) * BOX_AREA_FRACTION
        if area_from_box
        else np.array([row.area for row in rows], dtype=np.float64)
    )
    gt = GroundTruth(
        image_ids=np.unique(np.array(list(crowd_index), dtype=np.int64)),
        image_id=image_id,
        person_id=_person_ids(rows, where),
        keypoints_xy=joints[..., :2],
        visibility=visibility,
        area=area,
        bbox_xywh=boxes,
        is_crowd=np.array([bool(row.iscrowd) for row in rows], dtype=bool),
        num_keypoints=np.array([n if row.num_keypoints is None else row.num_keypoints for row, n in counts], dtype=int),
        source=np.where(visibility > 0, np.int8(Source.ANNOTATED), np.int8(Source.NONE)),
        occluder=np.zeros(visibility.shape, dtype=np.int8),
        crowd_index=np.array([crowd_index[number] for number in image_id.tolist()], dtype=np.float64),
        max_iou=np.array([row.max_iou for row in rows], dtype=np.float64),
    )
    return gt, skeleton


@_collector_off()
def read_results(source: str | Path | list[dict[str, Any]], gt: GroundTruth, skeleton: Skeleton) -> Results:
    """COCO results, given by path or as content: `image_id`, `category_id`, `keypoints` (x, y, score), `score`.

    `person_id`, where given, is the id of the annotation whose box was used.

    Raises:
        UserError: not a list of results, or an invalid one: unknown image, wrong number of keypoints, a value that is
            not finite, or a duplicate.
    """
    where = "results" if isinstance(source, list) else str(source)
    rows = _read(source, list[_Result], where, "COCO results")
    image_id = np.array([row.image_id for row in rows], dtype=np.int64)
    if len(unknown := np.flatnonzero(~np.isin(image_id, gt.image_ids))):
        number = unknown[0]
        _wrong(f"{where}, result {number}", "unknown image", "an image id of the ground truth", image_id[number])
    keypoints = _numbers([row.keypoints for row in rows], 3 * len(skeleton), f"{where}, result", "keypoints")
    score = np.array([row.score for row in rows], dtype=np.float64)
    if len(bad := np.flatnonzero(~np.isfinite(score))):
        _wrong(f"{where}, result {bad[0]}", "score not finite", "a finite number", score[bad[0]])
    person_id = np.array([row.person_id for row in rows], dtype=np.int64)
    _check_duplicates(np.column_stack([image_id, person_id, score, keypoints]), where)
    joints = keypoints.reshape(-1, len(skeleton), 3)
    return Results(image_id, person_id, joints[..., :2], joints[..., 2], score)


def _read(source: object, kind: Any, where: str, what: str) -> Any:
    """A file's content, or `source` itself, as `kind`."""
    try:
        if isinstance(source, str | Path):
            return msgspec.json.decode(Path(source).read_bytes(), type=kind)
        return msgspec.convert(msgspec.to_builtins(source, enc_hook=_builtin), kind)
    except (FileNotFoundError, IsADirectoryError):
        raise UserError("no such file", where=where, expected="a json file") from None
    except msgspec.ValidationError as error:
        # "Expected `float`, got `str` - at `$[3].keypoints[2]`"
        path = re.search(r"\$(?:\.(\w+))?(?:\[(\d+)\])?", str(error))
        entry = f", {(path[1] or 'results')[:-1]} {path[2]}" if path and path[2] else ""
        raise UserError(f"not {what}", where=where + entry, got=error) from None
    except TypeError as error:
        raise UserError(f"not {what}", where=where, got=error) from None
    except msgspec.DecodeError as error:
        raise UserError("not a json file (json has no NaN or Infinity)", where=where, got=error) from None


def _builtin(value: Any) -> Any:
    """Numpy numbers and arrays as Python numbers and lists."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"json has no {type(value).__name__}")


def _skeleton_of(content: _GroundTruth, where: object) -> Skeleton:
    """The known skeleton with the joint names of the first category."""
    joints = tuple(content.categories[0].keypoints) if content.categories else ()
    for skeleton in SKELETONS.values():
        if skeleton.joints == joints:
            return skeleton
    known = "; ".join(f"{skeleton.name}: {', '.join(skeleton.joints)}" for skeleton in SKELETONS.values())
    raise UserError("unknown joints in the first category", where=where, expected=known, got=list(joints))


def _numbers(rows: Sequence[list[float]], length: int, where: str, what: str) -> Float[np.ndarray, "n length"]:
    for number, row in enumerate(rows):
        if len(row) != length:
            _wrong(f"{where} {number}", f"{what} of wrong length", length, len(row))
    values = np.array(rows, dtype=np.float64).reshape(-1, length)
    if not np.isfinite(values).all():
        number, column = np.argwhere(~np.isfinite(values))[0]
        _wrong(f"{where} {number}", f"{what} not finite", "finite numbers", values[number, column])
    return values


def _person_ids(rows: Sequence[_Annotation], where: str) -> np.ndarray:
    """Ids of the annotations; their positions if any annotation has no id."""
    ids = np.array([row.id for row in rows]) if all(row.id is not None for row in rows) else np.arange(len(rows))
    values, count = np.unique(ids.astype(np.int64), return_counts=True)
    if (count > 1).any():
        raise UserError("duplicate annotation id", where=where, expected="unique ids", got=int(values[count > 1][0]))
    return ids.astype(np.int64)


def _check_duplicates(rows: Float[np.ndarray, "n k"], where: str) -> None:
    order = np.lexsort(rows[:, :3].T)
    for position in np.flatnonzero((rows[order[1:], :3] == rows[order[:-1], :3]).all(1)):
        first, second = sorted((int(order[position]), int(order[position + 1])))
        if (rows[first] == rows[second]).all():
            _wrong(f"{where}, result {second}", "duplicate pose", "each pose once", f"a copy of result {first}")


def _wrong(where: str, problem: str, expected: object, got: object) -> NoReturn:
    raise UserError(problem, where=where, expected=expected, got=got)
