"""HRNet's geometric augmentation (flip, rotation, scale, half body) as one affine map."""

import numpy as np
from jaxtyping import Bool, Float

from dag.geometry import compose, input_from_image, mirror
from dag.skeleton import LOWER_BODY, Skeleton

HALF_BODY_JOINTS = 8
"""Half-body crops are taken only of persons with more labelled joints than this."""

HALF_BODY_PADDING = 1.5
"""Size of a half-body crop over the bounding box of its joints."""


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
    """Whether a sample is flipped, and the affine map from its image to the network input, including the flip.

    As `__getitem__` of HRNet's lib/dataset/JointsDataset.py. The caller swaps left and right joints.

    Args:
        rng: sole source of randomness; the same number of values is drawn whatever the parameters are.
        target_xy: joints of the target, in image pixels.
        labelled: which of them are labelled.
        skeleton: the joints' names.
        center_xy, size_wh: crop around the target, at the input's aspect ratio, in image pixels.
        input_wh: network input, width and height in pixels.
        flip: probability of a horizontal flip.
        rotation: standard deviation in degrees; the angle is clipped at twice the value.
        rotation_p: probability of a rotation.
        scale: standard deviation of the scale factor around 1; its difference from 1 is clipped at the value.
        half_body: probability of a half-body crop, for persons with more than `HALF_BODY_JOINTS` labelled joints.
    """
    flip_draw, rotation_draw, half_body_draw, upper_draw = rng.random(4).tolist()
    rotation_normal, scale_normal = rng.normal(size=2).tolist()
    if half_body_draw < half_body:
        half = half_body_crop(target_xy, labelled, skeleton, input_wh, upper=upper_draw < 0.5)
        center_xy, size_wh = half or (center_xy, size_wh)
    size_wh = size_wh * min(max(1 + scale * scale_normal, 1 - scale), 1 + scale)
    degrees = min(max(rotation * rotation_normal, -2 * rotation), 2 * rotation) if rotation_draw < rotation_p else 0.0
    affine = input_from_image(center_xy, size_wh, input_wh, degrees)
    if flip_draw < flip:
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
    """Centre and size of a crop around the upper or lower half of a body, at the input's aspect ratio.

    As HRNet's `half_body_transform`: the other half if the chosen one has fewer than three labelled joints; None for
    persons with at most `HALF_BODY_JOINTS` labelled joints.
    """
    if labelled.sum() <= HALF_BODY_JOINTS:
        return None
    is_lower = np.array([joint.endswith(LOWER_BODY) for joint in skeleton.joints])
    halves = [labelled & ~is_lower, labelled & is_lower]
    chosen, other = halves if upper else halves[::-1]
    points = xy[chosen if chosen.sum() > 2 else other].astype(float)
    extent, aspect = np.ptp(points, axis=0), input_wh[0] / input_wh[1]
    size_wh = np.array([max(extent[0], extent[1] * aspect), max(extent[1], extent[0] / aspect)])
    return points.mean(axis=0), np.maximum(size_wh, 1.0) * HALF_BODY_PADDING
