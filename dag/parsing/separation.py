"""Separation of one person from a semantic mask of all persons, by joints, bounding boxes and neighbours.

A semantic segmentation does not distinguish instances. Pixels are removed that lie in the annotated mask of another
person, closer to a neighbour's limbs than to the person's own, or too far from the person's limbs. Of the remaining
mask, only connected components with a joint of the person are kept. The ambiguous fraction measures how uncertain this
is.
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
"""Maximum distance of a person's pixels (with hair and skirts) from its nearest limb, in units of sqrt(area)."""

NEAR = 0.1
"""Pixels whose distances to the limbs of two persons differ by less than this, in the same unit, are ambiguous."""

FAR = 1e9


def separate_person(
    mask: Bool[np.ndarray, "h w"],
    left_top: tuple[int, int],
    person: PersonAnnotation,
    others: Sequence[PersonAnnotation],
    skeleton: Skeleton,
) -> tuple[Bool[np.ndarray, "h w"], float]:
    """Mask of one person within a semantic mask, and the fraction of it that is ambiguous.

    Ambiguous pixels are those that were removed without a neighbour's mask although they are connected to the person
    (outside the bounding box or too far from the limbs), and those that were kept but may belong to a neighbour
    without a mask.

    Args:
        mask: pixels of all persons in a window of the image.
        left_top: the window's first pixel in the image.
        person: the target person.
        others: all other annotations of the image, including crowds.
        skeleton: skeleton of the annotations.
    """
    unit = max(person.area, 1.0) ** 0.5
    own = limb_distance(person, left_top, mask.shape, skeleton) / unit
    mask = mask & ~union_of_masks(others, (*left_top, mask.shape[1], mask.shape[0]))
    uncertain = np.zeros_like(mask)
    for other in others:
        if other.segmentation is None:
            closer, near = _neighbour_pixels(other, own, unit, left_top, skeleton)
            mask, uncertain = mask & ~closer, uncertain | near
    mask = with_joints(mask, person, left_top)
    inside = mask & (own < REACH) & in_box(person, left_top, mask.shape)
    kept = with_joints(inside, person, left_top)
    ambiguous = (mask & ~inside) | (kept & uncertain)
    return kept, float(ambiguous.sum() / max(kept.sum(), 1))


def _neighbour_pixels(
    other: PersonAnnotation,
    own: Float32[np.ndarray, "h w"],
    unit: float,
    left_top: tuple[int, int],
    skeleton: Skeleton,
) -> tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Pixels of a neighbour without a mask, and uncertain ones; by its limbs, or by its box if it has no joints."""
    box = in_box(other, left_top, own.shape)
    if other.num_keypoints == 0:
        return box & (own > NEAR), box
    distance = limb_distance(other, left_top, own.shape, skeleton) / unit
    return distance < own, (np.abs(distance - own) < NEAR) & (distance < REACH) & box


def limb_distance(
    person: PersonAnnotation, left_top: tuple[int, int], shape: tuple[int, int], skeleton: Skeleton
) -> Float32[np.ndarray, "h w"]:
    """Distance in pixels from each pixel of a window to the nearest bone, joint or point of the torso of a person.

    Only labelled joints are used, and only the parts of limbs inside the window; without any, all distances are `FAR`.
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
    """Connected components of a mask that contain a labelled joint of a person."""
    components = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[1]
    x, y = (pixel_of(person.keypoints_xy[person.visibility > 0]) - np.array(left_top)).T
    inside = (x >= 0) & (y >= 0) & (x < mask.shape[1]) & (y < mask.shape[0])
    return mask & np.isin(components, components[y[inside], x[inside]])
