"""Quality of cut-outs, and the limits by which they are rejected."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, UInt8

from dag.annotation import PersonAnnotation, Visibility
from dag.files import whole_file
from dag.geometry import at, pixel_of
from dag.masks import PartMap, decode_mask, mask_area
from dag.skeleton import Skeleton

RATIOS = ("occlusion_ratio", "joints_inside", "ambiguous", "border_ratio", "fragment_ratio", "mask_iou")
"""Fields of `Quality` between 0 and 1."""

TOLERANCE = 0.02
"""Distance from the mask up to which a joint counts as inside it, in units of the cut-out's height."""


class Rejection(StrEnum):
    """Reason for rejecting a person; the first that applies, in this order."""

    CROWD = "crowd"
    NO_KEYPOINTS = "no keypoints"
    TOO_SMALL = "too small"
    FEW_VISIBLE = "few visible joints"
    OCCLUDED = "occluded joints"
    NOT_SEPARABLE = "not separable"
    FRAGMENTARY = "fragmentary"
    JOINTS_OUTSIDE = "joints outside"
    TRUNCATED = "truncated at the image border"
    MASK_DISAGREES = "disagrees with annotated mask"


@dataclass(frozen=True)
class Quality:
    """Quality of a cut-out; for persons rejected before parsing, the `quality_bound` of the annotation.

    Attributes:
        person_id: annotation id.
        image_path: image of the person, relative to the data root.
        height: height of the cut-out in pixels.
        visible_joints: number of joints with visibility 2.
        occlusion_ratio: number of joints occluded by anything but the person itself and of unlabelled limb joints, over
            the number of labelled joints and of unlabelled limb joints.
        joints_inside: fraction of the visible joints inside or near the largest connected component of the cut-out.
        ambiguous: fraction of the cut-out that may belong to another person.
        border_ratio: fraction of the outline that lies on the image border.
        fragment_ratio: fraction of the cut-out outside its largest connected component.
        mask_iou: intersection over union with the annotated mask; None for annotations without a mask.
        rejection: reason for the rejection; None for accepted cut-outs.
    """

    person_id: int
    image_path: str
    height: float
    visible_joints: int
    occlusion_ratio: float
    joints_inside: float = 1.0
    ambiguous: float = 0.0
    border_ratio: float = 0.0
    fragment_ratio: float = 0.0
    mask_iou: float | None = None
    rejection: Rejection | None = None


def rejection(
    quality: Quality,
    *,
    min_height: float,
    min_joints: int,
    min_joints_inside: float,
    max_fragment_ratio: float,
    min_mask_iou: float,
    max_occlusion_ratio: float,
    max_ambiguous: float,
    max_border: float,
) -> Rejection | None:
    """The first limit that a cut-out violates, or None. Limits are named after the fields of `Quality`."""
    violated = {
        Rejection.TOO_SMALL: quality.height < min_height,
        Rejection.FEW_VISIBLE: quality.visible_joints < min_joints,
        Rejection.OCCLUDED: quality.occlusion_ratio > max_occlusion_ratio,
        Rejection.NOT_SEPARABLE: quality.ambiguous > max_ambiguous,
        Rejection.FRAGMENTARY: quality.fragment_ratio > max_fragment_ratio,
        Rejection.JOINTS_OUTSIDE: quality.joints_inside < min_joints_inside,
        Rejection.TRUNCATED: quality.border_ratio > max_border,
        Rejection.MASK_DISAGREES: quality.mask_iou is not None and quality.mask_iou < min_mask_iou,
    }
    return next((reason for reason, is_violated in violated.items() if is_violated), None)


def quality_bound(person: PersonAnnotation, skeleton: Skeleton) -> Quality:
    """Upper bound of a cut-out's quality, from the annotation alone: as if all occlusion were self-occlusion."""
    not_occluded = np.zeros(len(skeleton), dtype=bool)
    return Quality(
        person_id=person.person_id,
        image_path=person.image_path,
        height=float(person.bbox_xywh[3]),
        visible_joints=int((person.visibility == Visibility.VISIBLE).sum()),
        occlusion_ratio=_occlusion_ratio(person, not_occluded, skeleton),
    )


def measured_quality(person: PersonAnnotation, parsed: PartMap, skeleton: Skeleton) -> Quality:
    """Quality of a parsed person; pixels count as part of the cut-out where `soft_alpha` is above one half."""
    alpha = soft_alpha(parsed.parts)
    rows = np.flatnonzero(alpha.any(axis=1))
    height = float(rows[-1] - rows[0] + 1) if len(rows) else 0.0
    body, fragment_ratio = largest_component(alpha > 127)
    inside = joints_in(body, person, parsed, radius=int(TOLERANCE * height + 0.5))
    visible = person.visibility == Visibility.VISIBLE
    mask = parsed.parts > 0
    occluded = (person.visibility > 0) & ~visible & ~joints_in(mask, person, parsed, radius=0)
    annotated = decode_mask(person, (parsed.left, parsed.top, mask.shape[1], mask.shape[0]))
    return replace(
        quality_bound(person, skeleton),
        height=height,
        occlusion_ratio=_occlusion_ratio(person, occluded, skeleton),
        joints_inside=float(inside[visible].mean()),
        ambiguous=parsed.ambiguous,
        border_ratio=_border_ratio(mask, person, parsed),
        fragment_ratio=fragment_ratio,
        mask_iou=None if annotated is None else _mask_iou(mask, annotated, mask_area(person)),
    )


def largest_component(mask: Bool[np.ndarray, "h w"]) -> tuple[Bool[np.ndarray, "h w"], float]:
    """Largest 8-connected component of a mask, and the fraction of the mask outside it."""
    components, stats = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)[1:3]
    areas = stats[1:, cv2.CC_STAT_AREA]
    if not len(areas):
        return mask, 0.0
    return components == areas.argmax() + 1, float(1 - areas.max() / areas.sum())


def joints_in(
    mask: Bool[np.ndarray, "h w"], person: PersonAnnotation, parsed: PartMap, radius: int
) -> Bool[np.ndarray, " J"]:
    """Joints inside a mask in the window of `parsed`, or at most `radius` pixels from it."""
    disc = np.argwhere(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)))[:, ::-1]
    centers = pixel_of(person.keypoints_xy - (parsed.left, parsed.top))
    return np.logical_or.reduce(at(mask, (centers[:, None] + disc - radius).astype(float)), axis=1)


def _occlusion_ratio(person: PersonAnnotation, occluded: Bool[np.ndarray, " J"], skeleton: Skeleton) -> float:
    """`Quality.occlusion_ratio`; `occluded` are the joints occluded by anything but the person itself."""
    missing = skeleton.is_limb & (person.visibility == Visibility.UNLABELLED)
    return float((occluded | missing).sum() / max(((person.visibility > 0) | missing).sum(), 1))


def _border_ratio(mask: Bool[np.ndarray, "h w"], person: PersonAnnotation, parsed: PartMap) -> float:
    """`Quality.border_ratio` of a mask in the window of `parsed`.

    Annotated masks end up to two pixels from the image border, so the outermost two rows and columns count as border.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0.0
    left, top = max(2 - parsed.left, 0), max(2 - parsed.top, 0)
    right, bottom = (max(side - 2, 0) for side in (person.image_width - parsed.left, person.image_height - parsed.top))
    sides = (mask[:, :left].any(axis=1), mask[:, right:].any(axis=1), mask[:top].any(axis=0), mask[bottom:].any(axis=0))
    return sum(int(side.sum()) for side in sides) / float(2 * (np.ptp(rows) + np.ptp(columns) + 2))


def _mask_iou(mask: Bool[np.ndarray, "h w"], annotated: Bool[np.ndarray, "h w"], area: int) -> float:
    """IoU of a mask and an annotated mask of `area` pixels; `annotated` is its part in the window of `mask`."""
    intersection = (annotated & mask).sum()
    return float(intersection / max(area + mask.sum() - intersection, 1))


def soft_alpha(parts: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Alpha of a part map: 3 x 3 erosion, then 3 x 3 blur, because the outermost pixels mix person and background."""
    hard = np.where(parts > 0, np.uint8(255), np.uint8(0))
    square = np.ones((3, 3), dtype=np.uint8)
    eroded = cv2.erode(hard, square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return cv2.GaussianBlur(eroded, (3, 3), 0, borderType=cv2.BORDER_CONSTANT)


def write_quality(path: str | Path, qualities: Sequence[Quality]) -> None:
    """Write the quality of every person as parquet, atomically, in the order given; equal input gives equal bytes.

    Columns are the attributes of `Quality`; `mask_iou` and `rejection` are null where they are None.
    """
    schema = pa.schema(
        [
            ("person_id", pa.int64()),
            ("image_path", pa.string()),
            ("height", pa.float64()),
            ("visible_joints", pa.int32()),
        ]
        + [(name, pa.float64()) for name in RATIOS]
        + [("rejection", pa.string())]
    )
    rows = [vars(quality) for quality in qualities]
    with whole_file(path) as partial:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), partial, compression="zstd")
