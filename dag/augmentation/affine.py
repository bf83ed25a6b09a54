"""HRNet's geometric augmentation (flip, rotation, scale, half body) as one affine map."""

import numpy as np
from jaxtyping import Bool, Float

from dag.geometry import compose, input_from_image, mirror
from dag.skeleton import Skeleton

LOWER_BODY = ("hip", "knee", "ankle")
# Half-body crops: only above this many labelled joints, and this much padding.
HALF_BODY_JOINTS = 8
HALF_BODY_PADDING = 1.5


def draw_affine(
    rng: np.random.Generator,
    target_xy: Float[np.ndarray, "J 2"],
    labelled: Bool[np.ndarray, " J"],
    skeleton: Skeleton,
    center_xy: Float[np.ndarray, "2"],
    size_wh: Float[np.ndarray, "2"],
    input_wh: tuple[int, int],
    *,
    flip: float,
    rotation: float,
    rotation_p: float,
    scale: float,
    half_body: float,
) -> tuple[bool, Float[np.ndarray, "2 3"]]:
    """Whether a sample is mirrored, and the whole map from its picture to the network's input, mirroring included.

    As `__getitem__` of HRNet's lib/dataset/JointsDataset.py. The names of left and right joints are the caller's to
    swap.

    Args:
        rng: decides everything; always as many numbers are drawn.
        target_xy: the target's joints, in pixels of the picture.
        labelled: which of them count.
        skeleton: the joints' names.
        center_xy, size_wh: the crop round the target, at the input's aspect, in pixels of the picture.
        input_wh: the network's input.
        flip: probability of mirroring.
        rotation: standard deviation in degrees, cut off at twice that.
        rotation_p: probability of turning at all.
        scale: standard deviation of the factor on the crop's size, cut off at once that.
        half_body: probability of a crop round the upper or lower half of people with more than 8 labelled joints.
    """
    flip_toss, turn_toss, half_toss, upper_toss = rng.random(4).tolist()
    turn, stretch = rng.normal(size=2).tolist()
    if half_toss < half_body:
        half = half_body_crop(target_xy, labelled, skeleton, input_wh, upper=upper_toss < 0.5)
        center_xy, size_wh = half or (center_xy, size_wh)
    size_wh = size_wh * min(max(1 + scale * stretch, 1 - scale), 1 + scale)
    degrees = min(max(rotation * turn, -2 * rotation), 2 * rotation) if turn_toss < rotation_p else 0.0
    affine = input_from_image(center_xy, size_wh, input_wh, degrees)
    if flip_toss < flip:
        return True, compose(mirror(input_wh[0]), affine)
    return False, affine


def half_body_crop(
    xy: Float[np.ndarray, "J 2"],
    labelled: Bool[np.ndarray, " J"],
    skeleton: Skeleton,
    input_wh: tuple[int, int],
    *,
    upper: bool,
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]] | None:
    """Centre and size of a crop round the upper or lower half of a body, at the input's aspect.

    As HRNet's `half_body_transform`: the other half if the chosen one has less than three joints; None for persons
    with no more than 8 labelled joints.
    """
    if labelled.sum() <= HALF_BODY_JOINTS:
        return None
    lower = np.array([joint.endswith(LOWER_BODY) for joint in skeleton.joints])
    halves = [labelled & ~lower, labelled & lower]
    chosen, other = halves if upper else halves[::-1]
    points = xy[chosen if chosen.sum() > 2 else other].astype(float)
    extent, aspect = np.ptp(points, axis=0), input_wh[0] / input_wh[1]
    size_wh = np.array([max(extent[0], extent[1] * aspect), max(extent[1], extent[0] / aspect)])
    return points.mean(axis=0), np.maximum(size_wh, 1.0) * HALF_BODY_PADDING
