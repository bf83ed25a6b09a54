"""Occluders of joints, from instance masks.

An annotated mask covers a person's visible pixels, clothes included. An occluded joint whose pixel belongs to another
person is occluded by that person; in the mask of its own person, by the person itself (a joint covered by clothes alone
is annotated visible); outside all masks, by an object. Near a mask border, or where masks overlap, the occluder stays
unknown. COCO calls a joint visible when it falls inside its person's segment (cocodataset.org/#keypoints-eval), so few
of its occluded joints can be occluded by the person itself.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

import numpy as np
from jaxtyping import Bool, Float, Int, Int16

from dag.annotation import Occluder, PersonAnnotation
from dag.geometry import inside_image, pixel_of
from dag.masks import decode_mask, in_box

Points = Mapping[int, Float[np.ndarray, "2"]]
"""Joint index to image pixels, pixel-index frame."""


class Reason(StrEnum):
    """Reason for a joint's occluder, or for the lack of one."""

    OTHER_MASK = "in another person's mask"
    OWN_MASK = "in the person's own mask"
    NO_MASK = "outside all masks"
    NEAR_BORDER = "near a mask border"
    OVERLAP = "overlapping masks"
    CROWD = "in a crowd region"
    UNMASKED = "person without mask"
    NEIGHBOUR_UNMASKED = "in the box of a neighbour without mask"
    OUTSIDE = "outside the image"
    TRUNCATED = "person truncated by the image border"


OCCLUDER_OF = {Reason.NO_MASK: Occluder.OBJECT, Reason.OTHER_MASK: Occluder.PERSON, Reason.OWN_MASK: Occluder.SELF}


def occluder_reasons(
    persons: Sequence[PersonAnnotation], points: Sequence[Points], margin: float
) -> list[dict[int, Reason]]:
    """For each person of one image, the reason of each of its points, by joint index.

    Args:
        persons: all annotations of the image.
        points: locations of each person's occluded joints.
        margin: radius in pixels around a point in which all pixels must give the same answer.
    """
    height, width = persons[0].image_height, persons[0].image_width
    masks = [decode_mask(person) for person in persons]
    crowd, count = np.zeros((height, width), dtype=bool), np.zeros((height, width), dtype=np.int16)
    for person, mask in zip(persons, masks):
        if person.is_crowd:
            crowd |= in_box(person, (0, 0), (height, width)) if mask is None else mask
        elif mask is not None:
            count += mask
    unmasked = np.zeros((height, width), dtype=bool)
    for person, mask in zip(persons, masks):
        if mask is None and not person.is_crowd:
            unmasked |= in_box(person, (0, 0), (height, width))
    return [
        {joint: _reason(xy, mask, count, crowd, unmasked, margin) for joint, xy in joints.items()}
        for mask, joints in zip(masks, points, strict=True)
    ]


def _reason(
    xy: Float[np.ndarray, "2"],
    own_mask: Bool[np.ndarray, "H W"] | None,
    count: Int16[np.ndarray, "H W"],
    crowd: Bool[np.ndarray, "H W"],
    unmasked: Bool[np.ndarray, "H W"],
    margin: float,
) -> Reason:
    """Reason from the pixels within `margin` of a joint.

    Args:
        xy: image pixels, pixel-index frame.
        own_mask: the person's mask.
        count: number of persons' masks on each pixel, the own mask included.
        crowd: crowd regions.
        unmasked: boxes of persons without mask.
    """
    height, width = count.shape
    if not inside_image(xy[None], width, height)[0]:
        return Reason.OUTSIDE
    if own_mask is None:
        return Reason.UNMASKED
    near = pixels_near(xy, margin, width, height)
    if crowd[near].any():
        return Reason.CROWD
    own, others = own_mask[near], count[near] > own_mask[near]
    if (own & others).any():
        return Reason.OVERLAP
    if own.all():
        return Reason.OWN_MASK
    if others.all():
        return Reason.OTHER_MASK
    if own.any() or others.any():
        return Reason.NEAR_BORDER
    return Reason.NEIGHBOUR_UNMASKED if unmasked[near].any() else Reason.NO_MASK


def pixels_near(
    xy: Float[np.ndarray, "2"], margin: float, width: int, height: int
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Rows and columns of the pixel that contains a point, and of all pixels with centres within `margin` of it."""
    column, row = pixel_of(xy)
    reach = int(margin) + 1
    rows = np.arange(max(row - reach, 0), min(row + reach + 1, height))
    columns = np.arange(max(column - reach, 0), min(column + reach + 1, width))
    near = np.hypot(rows[:, None] - xy[1], columns - xy[0]) <= margin
    near |= (rows == row)[:, None] & (columns == column)
    chosen = np.nonzero(near)
    return rows[chosen[0]], columns[chosen[1]]
