"""What hides a joint, from instance masks.

An annotated mask covers a person's visible pixels, clothes included. A occluded joint whose pixel belongs to another
person is occluded by that person; in its own person's mask, by the person itself (a joint under clothes alone is
annotated visible); in nobody's, by an object. Near a border where the answer changes, or where masks contradict each
other, nothing is decided. COCO calls a joint visible when it falls inside its person's segment
(cocodataset.org/#keypoints-eval), so hardly any of its occluded joints can be occluded by the person itself.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

import numpy as np
from jaxtyping import Bool, Float, Int, Int16

from dag.annotation import Occluder, PersonAnnotation
from dag.geometry import inside_image, pixel_of
from dag.masks import decode_mask, in_box

Points = Mapping[int, Float[np.ndarray, "2"]]
"""Joint number to image pixels, pixel-index frame."""


class Reason(StrEnum):
    """Why a joint was given an occluder, or none."""

    OTHER_MASK = "in another person's mask"
    OWN_MASK = "in its own person's mask"
    NO_MASK = "in nobody's mask"
    NEAR_BORDER = "near a mask's border"
    OVERLAP = "masks overlap there"
    CROWD = "in a crowd region"
    UNMASKED = "person has no mask"
    NEIGHBOUR_UNMASKED = "neighbour without mask there"
    OUTSIDE = "outside the image"
    CUT_OFF = "the image's border cuts the person off"


OCCLUDER_OF = {Reason.NO_MASK: Occluder.OBJECT, Reason.OTHER_MASK: Occluder.PERSON, Reason.OWN_MASK: Occluder.SELF}


def decide(people: Sequence[PersonAnnotation], points: Sequence[Points], margin: float) -> list[dict[int, Reason]]:
    """For each person of one image: joint number to reason, of each of its points.

    Args:
        people: everybody in the image.
        points: of each of them, where joints are that cannot be seen.
        margin: pixels round a point in which the answer must be the same everywhere.
    """
    height, width = people[0].image_height, people[0].image_width
    masks = [decode_mask(person) for person in people]
    crowd, count = np.zeros((height, width), dtype=bool), np.zeros((height, width), dtype=np.int16)
    for person, mask in zip(people, masks):
        if person.is_crowd:
            crowd |= in_box(person, (0, 0), (height, width)) if mask is None else mask
        elif mask is not None:
            count += mask
    unmasked = np.zeros((height, width), dtype=bool)
    for person, mask in zip(people, masks):
        if mask is None and not person.is_crowd:
            unmasked |= in_box(person, (0, 0), (height, width))
    return [
        {joint: _reason(xy, mask, count, crowd, unmasked, margin) for joint, xy in asked.items()}
        for mask, asked in zip(masks, points, strict=True)
    ]


def _reason(
    xy: Float[np.ndarray, "2"],
    own: Bool[np.ndarray, "H W"] | None,
    count: Int16[np.ndarray, "H W"],
    crowd: Bool[np.ndarray, "H W"],
    unmasked: Bool[np.ndarray, "H W"],
    margin: float,
) -> Reason:
    """What the pixels within `margin` of a joint say, if they agree.

    Args:
        xy: image pixels, pixel-index frame.
        own: the person's mask.
        count: number of masks of people, its own among them, on each pixel.
        crowd: crowd regions.
        unmasked: boxes of people without mask.
    """
    height, width = count.shape
    if not inside_image(xy[None], width, height)[0]:
        return Reason.OUTSIDE
    if own is None:
        return Reason.UNMASKED
    near = pixels_near(xy, margin, width, height)
    if crowd[near].any():
        return Reason.CROWD
    mine, others = own[near], count[near] > own[near]
    if (mine & others).any():
        return Reason.OVERLAP
    if mine.all():
        return Reason.OWN_MASK
    if others.all():
        return Reason.OTHER_MASK
    if mine.any() or others.any():
        return Reason.NEAR_BORDER
    return Reason.NEIGHBOUR_UNMASKED if unmasked[near].any() else Reason.NO_MASK


def pixels_near(
    xy: Float[np.ndarray, "2"], margin: float, width: int, height: int
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Rows and columns of the pixel that a point lies on, and of all whose centre is within `margin` of the point."""
    column, row = pixel_of(xy)
    reach = int(margin) + 1
    rows = np.arange(max(row - reach, 0), min(row + reach + 1, height))
    columns = np.arange(max(column - reach, 0), min(column + reach + 1, width))
    near = np.hypot(rows[:, None] - xy[1], columns - xy[0]) <= margin
    near |= (rows == row)[:, None] & (columns == column)
    chosen = np.nonzero(near)
    return rows[chosen[0]], columns[chosen[1]]
