"""Which pixels of a semantic person mask belong to one person: evidence of its joints, its box and its neighbours.

A semantic parser says where there is a person, not which one. Pixels are taken from it where an annotated mask of
somebody else is, where a neighbour's limbs are nearer than one's own, and where one's own limbs are too far; of what is
left, only the pieces that hold one's own joints stay. How much of that was a guess is the ambiguous share.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from dag.annotation import PersonAnnotation
from dag.geometry import pixel_of
from dag.masks import in_box, union_of_masks
from dag.skeleton import Skeleton

REACH = 0.45
"""How far from the nearest limb a body goes, hair and skirts included, in units of sqrt(area)."""

NEAR = 0.1
"""A pixel whose distances to two people's limbs differ by less than this, in the same unit, may be either's."""

FAR = 1e9


def separate(
    mask: Bool[np.ndarray, "h w"],
    left_top: tuple[int, int],
    person: PersonAnnotation,
    others: Sequence[PersonAnnotation],
    skeleton: Skeleton,
) -> tuple[Bool[np.ndarray, "h w"], float]:
    """This person's part of a semantic mask, and the ambiguous share of it.

    Args:
        mask: where the parser sees people, in a window of the image.
        left_top: the window's first pixel on the image.
        person: whose part is wanted.
        others: all other rows of the image, crowds too.
        skeleton: what the joints are.

    Contested is what was cut off without a neighbour's mask to prove it, though it hangs together with the rest: pixels
    beyond the box or beyond reach; and what was kept although it may be a neighbour's that has no mask.
    """
    unit = max(person.area, 1.0) ** 0.5
    own = limb_distance(person, left_top, mask.shape, skeleton) / unit
    mask = mask & ~union_of_masks(others, (*left_top, mask.shape[1], mask.shape[0]))
    unsure = np.zeros_like(mask)
    for other in others:
        if other.segmentation is None:
            theirs, either = _neighbour(other, own, unit, left_top, skeleton)
            mask, unsure = mask & ~theirs, unsure | either
    mask = with_joints(mask, person, left_top)
    inside = mask & (own < REACH) & in_box(person, left_top, mask.shape)
    kept = with_joints(inside, person, left_top)
    doubtful = (mask & ~inside) | (kept & unsure)
    return kept, float(doubtful.sum() / max(kept.sum(), 1))


def _neighbour(
    other: PersonAnnotation,
    own: Float32[np.ndarray, "h w"],
    unit: float,
    left_top: tuple[int, int],
    skeleton: Skeleton,
) -> tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Pixels that are a maskless neighbour's, and pixels that may be; with joints by its limbs, else by its box."""
    box = in_box(other, left_top, own.shape)
    if other.num_keypoints == 0:
        return box & (own > NEAR), box
    distance = limb_distance(other, left_top, own.shape, skeleton) / unit
    return distance < own, (np.abs(distance - own) < NEAR) & (distance < REACH) & box


def limb_distance(
    person: PersonAnnotation, left_top: tuple[int, int], shape: tuple[int, int], skeleton: Skeleton
) -> Float32[np.ndarray, "h w"]:
    """Pixels from each pixel of a window to the nearest bone, joint or point of the torso of a person.

    Bones and torso need their joints to be labelled; limbs beyond the window do not count.
    """
    canvas = np.ones(shape, dtype=np.uint8)
    labelled = person.visibility > 0
    xy = pixel_of(person.keypoints_xy - np.array(left_top))
    for a, b in skeleton.bone_index[labelled[skeleton.bone_index].all(axis=1)]:
        cv2.line(canvas, xy[a].tolist(), xy[b].tolist(), 0)
    for joint in np.flatnonzero(labelled):
        cv2.circle(canvas, xy[joint].tolist(), 1, 0, -1)
    names = ("left_shoulder", "right_shoulder", "right_hip", "left_hip")
    torso = [skeleton.joints.index(name) for name in names if name in skeleton.joints]
    torso = [joint for joint in torso if labelled[joint]]
    if len(torso) > 2:
        cv2.fillConvexPoly(canvas, cv2.convexHull(xy[torso].astype(np.int32)), 0)
    if canvas.all():
        return np.full(shape, FAR, dtype=np.float32)
    return cv2.distanceTransform(canvas, cv2.DIST_L2, cv2.DIST_MASK_5)


def with_joints(
    mask: Bool[np.ndarray, "h w"], person: PersonAnnotation, left_top: tuple[int, int]
) -> Bool[np.ndarray, "h w"]:
    """The connected pieces of a mask that hold a labelled joint of a person."""
    pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[1]
    x, y = (pixel_of(person.keypoints_xy[person.visibility > 0]) - np.array(left_top)).T
    there = (x >= 0) & (y >= 0) & (x < mask.shape[1]) & (y < mask.shape[0])
    return mask & np.isin(pieces, pieces[y[there], x[there]])
