"""How good a cut-out person is, and which limit a bad one breaks."""

from dataclasses import dataclass, replace
from enum import StrEnum

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from dag.data.masks import decode_mask
from dag.data.parsing.base import Parsed
from dag.data.people import at
from dag.person import Person, Visibility
from dag.skeleton import Skeleton

MAX_BORDER = 0.02
"""Share of a cut-out's outline that may lie on the photograph's border."""

MAX_CONTESTED = 0.1
"""Share of a cut-out that may just as well be somebody else's."""

TOLERANCE = 0.02
"""How far outside the mask a joint still counts as inside, in units of the cut-out's height."""

LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
"""Joints that nobody turns away: unlabelled, they are hidden or out of the photograph. A face may only look away."""


class Rejection(StrEnum):
    """Why a person is not in the pool; the first reason that holds."""

    CROWD = "crowd"
    NO_KEYPOINTS = "no keypoints"
    TOO_SMALL = "too small"
    FEW_VISIBLE = "few visible joints"
    HIDDEN = "hidden joints"
    NOT_SEPARABLE = "not separable"
    FRAGMENTARY = "fragmentary"
    JOINTS_OUTSIDE = "joints outside"
    TRUNCATED = "truncated at the photo's border"
    MASK_DISAGREES = "disagrees with annotated mask"


@dataclass(frozen=True)
class Quality:
    """How good a cut-out is. Of people rejected before parsing: how good their annotation lets it be.

    Attributes:
        person_id: the annotation.
        height: pixels.
        visible_joints: number of joints with visibility 2.
        hidden_share: joints that are hidden by something else than the person itself, and unlabelled joints of the
            limbs, over these and the labelled joints.
        joints_inside: share of the visible joints that lie in the cut-out's largest connected piece, or nearly.
        contested: share of the cut-out that may be somebody else's.
        border_share: share of the outline that lies on the photograph's border.
        fragment_share: share of the cut-out outside its largest connected piece.
        mask_iou: agreement with the annotated mask (intersection over union); None without one.
        rejection: why it is not in the pool; None for accepted ones.
    """

    person_id: int
    height: float
    visible_joints: int
    hidden_share: float
    joints_inside: float = 1.0
    contested: float = 0.0
    border_share: float = 0.0
    fragment_share: float = 0.0
    mask_iou: float | None = None
    rejection: Rejection | None = None


def rejection(
    quality: Quality,
    *,
    min_height: float,
    min_joints: int,
    min_joints_inside: float,
    max_fragment_share: float,
    min_mask_iou: float,
    max_hidden_share: float,
) -> Rejection | None:
    """The first limit that a cut-out breaks, or None. Limits are named as the figures of `Quality`."""
    broken = {
        Rejection.TOO_SMALL: quality.height < min_height,
        Rejection.FEW_VISIBLE: quality.visible_joints < min_joints,
        Rejection.HIDDEN: quality.hidden_share > max_hidden_share,
        Rejection.NOT_SEPARABLE: quality.contested > MAX_CONTESTED,
        Rejection.FRAGMENTARY: quality.fragment_share > max_fragment_share,
        Rejection.JOINTS_OUTSIDE: quality.joints_inside < min_joints_inside,
        Rejection.TRUNCATED: quality.border_share > MAX_BORDER,
        Rejection.MASK_DISAGREES: quality.mask_iou is not None and quality.mask_iou < min_mask_iou,
    }
    return next((reason for reason, is_broken in broken.items() if is_broken), None)


def promised(person: Person, skeleton: Skeleton) -> Quality:
    """The best that a cut-out can be by its annotation: hidden joints may all be hidden by the person itself."""
    nothing_hides = np.zeros(len(skeleton), dtype=bool)
    return Quality(
        person_id=person.person_id,
        height=float(person.bbox_xywh[3]),
        visible_joints=int((person.visibility == Visibility.VISIBLE).sum()),
        hidden_share=_hidden_share(person, nothing_hides, skeleton),
    )


def measured(person: Person, parsed: Parsed, skeleton: Skeleton) -> Quality:
    """The quality of a parsed person, as it will be seen: opaque where `soft_alpha` is above a half."""
    alpha = soft_alpha(parsed.parts)
    rows = np.flatnonzero(alpha.any(axis=1))
    height = float(rows[-1] - rows[0] + 1) if len(rows) else 0.0
    body, fragment_share = largest_piece(alpha > 127)
    inside = joints_in(body, person, parsed, radius=int(TOLERANCE * height + 0.5))
    visible = person.visibility == Visibility.VISIBLE
    hidden = (person.visibility > 0) & ~visible & ~joints_in(parsed.parts > 0, person, parsed, radius=0)
    return replace(
        promised(person, skeleton),
        height=height,
        hidden_share=_hidden_share(person, hidden, skeleton),
        joints_inside=float(inside[visible].mean()),
        contested=parsed.contested,
        border_share=_border_share(person, parsed),
        fragment_share=fragment_share,
        mask_iou=_mask_iou(person, parsed),
    )


def largest_piece(mask: Bool[np.ndarray, "h w"]) -> tuple[Bool[np.ndarray, "h w"], float]:
    """The largest connected piece of a mask, and the share of the mask outside it."""
    pieces, areas = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)[1:3]
    areas = areas[1:, cv2.CC_STAT_AREA]
    if not len(areas):
        return mask, 0.0
    return pieces == areas.argmax() + 1, float(1 - areas.max() / areas.sum())


def joints_in(mask: Bool[np.ndarray, "h w"], person: Person, parsed: Parsed, radius: int) -> Bool[np.ndarray, " J"]:
    """Joints in a mask that lies where `parsed` does, or at most `radius` pixels from it."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    near = cv2.dilate(np.pad(mask, radius).astype(np.uint8), disc) > 0
    return at(near, person.keypoints_xy - (parsed.left - radius, parsed.top - radius))


def _hidden_share(person: Person, hidden: Bool[np.ndarray, " J"], skeleton: Skeleton) -> float:
    limb = np.array([joint.split("_")[-1] in LIMBS for joint in skeleton.joints])
    missing = limb & (person.visibility == Visibility.UNLABELLED)
    return float((hidden | missing).sum() / max(((person.visibility > 0) | missing).sum(), 1))


def _border_share(person: Person, parsed: Parsed) -> float:
    """Annotated masks end up to two pixels before the border, so the outermost two rows and columns count as it."""
    rows, columns = np.nonzero(parsed.parts)
    if not len(rows):
        return 0.0
    y, x = rows + parsed.top, columns + parsed.left
    sides = (y[x < 2], y[x >= person.image_width - 2], x[y < 2], x[y >= person.image_height - 2])
    outline = 2 * (np.ptp(rows) + np.ptp(columns) + 2)
    return sum(len(np.unique(side)) for side in sides) / float(outline)


def _mask_iou(person: Person, parsed: Parsed) -> float | None:
    annotated = decode_mask(person)
    if annotated is None:
        return None
    mask = parsed.parts > 0
    window = annotated[parsed.top : parsed.top + mask.shape[0], parsed.left : parsed.left + mask.shape[1]]
    both = (window & mask).sum()
    return float(both / max(annotated.sum() + mask.sum() - both, 1))


def soft_alpha(parts: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Opacity of a part map's pixels; the outermost ring of pixels, half background, fades out."""
    hard = np.where(parts > 0, np.uint8(255), np.uint8(0))
    square = np.ones((3, 3), dtype=np.uint8)
    eroded = cv2.erode(hard, square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return cv2.GaussianBlur(eroded, (3, 3), 0, borderType=cv2.BORDER_CONSTANT)
