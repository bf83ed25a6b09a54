"""Mask joints and instance paste (D): occlusion of training crops as pure functions; randomness is an argument.

Invariants of both functions, for every instance and joint:

- Visibility never rises. A covered visible joint becomes `OCCLUDED` with source `PASTED`; an occluded joint keeps its
  visibility and source. What covers it is recorded as its occluder.
- The target (instance 0) keeps the label of every joint: the location of occluded joints is the training signal.
- At most `max_covered` of the target's labelled joints are behind objects and other persons (`covered_joints`),
  including those that the image itself occludes, so the limit holds for both functions together.

The defaults are the paper's, for a crop of 192 x 256 pixels (docs/occlusion.md).
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from dag.annotation import Occluder, Source, Visibility
from dag.augmentation.blending import blend
from dag.augmentation.instances import (
    Instances,
    append,
    cover_by_instance,
    covered_joints,
    joints_diagonal,
    mark_covered,
)
from dag.errors import UserError
from dag.geometry import apply_affine, at, inside_image, pixel_of
from dag.pool.pool import Cutout, Pool

REFERENCE_HEIGHT = 256
"""Height of the crop, in pixels, to which the default sizes of mask joints refer."""

PASTED_SIZE = 0.9
"""Mean diagonal of a pasted cut-out over the diagonal of the target."""

POSITIONS = 8
"""Number of positions that are tried."""


def mask_joints(
    image: UInt8[np.ndarray, "H W 3"],
    instances: Instances,
    rng: np.random.Generator,
    *,
    min_count: int = 1,
    max_count: int = 8,
    min_size: float = 10.0,
    max_size: float = 40.0,
    max_covered: float = 0.8,
    other_image: UInt8[np.ndarray, "h w 3"] | None = None,
) -> tuple[UInt8[np.ndarray, "H W 3"], Instances]:
    """Cover randomly chosen labelled joints of the target with rectangles, at most one for each joint.

    Each rectangle contains its joint at a random position and is filled with noise, a flat colour or a patch of
    `other_image`. Joints of all instances under a rectangle keep their label (occluder `OBJECT`). A rectangle that
    would exceed `max_covered` is left out. Without rectangles, the given image and instances are returned.

    Args:
        image: RGB crop.
        instances: all instances in the crop.
        rng: sole source of randomness.
        min_count, max_count: number of rectangles, both inclusive.
        min_size, max_size: their width and height, in pixels of the crop.
        max_covered: fraction of the target's labelled joints, 0-1.
        other_image: source of patches; None: noise and flat colours only.
    """
    height, width = image.shape[:2]
    pixels = pixel_of(instances.keypoints_xy)
    candidates = np.flatnonzero((instances.visibility[0] > 0) & inside_image(instances.keypoints_xy[0], width, height))
    count = min(int(rng.integers(min_count, max_count + 1)), len(candidates))
    joints = rng.permutation(candidates)[:count]
    sizes = np.maximum(np.rint(rng.uniform(min_size, max_size, (count, 2))), 1)
    starts = pixels[0, joints] - (rng.random((count, 2)) * sizes).astype(int)
    ends = np.minimum(starts + sizes.astype(int), (width, height))
    starts = np.maximum(starts, 0)
    inside = np.all((pixels >= starts[:, None, None]) & (pixels < ends[:, None, None]), axis=-1)
    free, limit = _coverable(instances, max_covered)
    occluded, covered = None, np.zeros(instances.visibility.shape, dtype=bool)
    for (left, top), (right, bottom), joints_inside in zip(starts.tolist(), ends.tolist(), inside):
        if np.count_nonzero((covered[0] | joints_inside[0]) & free) <= limit:
            occluded = image.copy() if occluded is None else occluded
            occluded[top:bottom, left:right] = _fill(bottom - top, right - left, other_image, rng)
            covered |= joints_inside
    return (image, instances) if occluded is None else (occluded, mark_covered(instances, covered, Occluder.OBJECT))


def paste_instance(
    image: UInt8[np.ndarray, "H W 3"],
    instances: Instances,
    pool: Pool | Sequence[Cutout],
    rng: np.random.Generator,
    *,
    min_scale: float = 0.7,
    max_scale: float = 1.3,
    max_rotation: float = 45.0,
    max_covered: float = 0.8,
    body_diagonal: float | None = None,
    target_mask: Bool[np.ndarray, "H W"] | None = None,
    center_xywh: Float[np.ndarray, "4"] | None = None,
    image_path: str | None = None,
) -> tuple[UInt8[np.ndarray, "H W 3"], Instances]:
    """Paste a random instance of the pool at a random position, size and rotation.

    The pasted instance is appended to `instances` (source `PASTED`; joints outside the crop unlabelled). Joints of
    the target under it keep their label (occluder `PERSON`); joints of others under it become unlabelled. `POSITIONS`
    positions are tried; if each would exceed `max_covered`, the given image and instances are returned.

    Args:
        image: RGB crop.
        instances: all instances in the crop.
        pool: cut-outs.
        rng: sole source of randomness.
        min_scale, max_scale: range of the scale; the pasted diagonal is `PASTED_SIZE` x scale x the target's.
        max_rotation: degrees, in both directions.
        max_covered: fraction of the target's labelled joints, 0-1.
        body_diagonal: diagonal of the target's box in pixels of the crop; None measures its labelled joints.
        target_mask: pixels of the target. With it, half of the pasted instances are behind the target; without, none.
        center_xywh: box in which the pasted centre lies, in pixels of the crop; None is the whole crop.
        image_path: image of the crop; instances from it are pasted only if the pool has no others.

    Raises:
        UserError: the pool is empty, or its instances have another number of joints.
    """
    cutout = _draw(pool, image_path, instances.visibility.shape[1], rng)
    diagonal = joints_diagonal(instances) if body_diagonal is None else body_diagonal
    nearer = target_mask if target_mask is not None and rng.random() < 0.5 else None
    if diagonal <= 0:
        return image, instances
    if center_xywh is None:
        center_xywh = np.array([0.0, 0.0, image.shape[1] - 1.0, image.shape[0] - 1.0])
    free, limit = _coverable(instances, max_covered)
    unit = PASTED_SIZE * diagonal / math.hypot(*cutout.parts.shape)
    for size, turn, *position in rng.random((POSITIONS, 4)).tolist():
        scale = unit * (min_scale + size * (max_scale - min_scale))
        rotation = math.radians((2 * turn - 1) * max_rotation)
        crop_from_cutout = _placement(cutout, center_xywh[:2] + center_xywh[2:] * position, scale, rotation)
        covered = _covered_by(cutout, crop_from_cutout, instances, nearer)
        if np.count_nonzero(covered[0] & free) <= limit:
            pasted = _pasted(cutout, crop_from_cutout, image.shape[:2], nearer)
            occluded = append(cover_by_instance(instances, covered), pasted)
            return blend(image, cutout.rgba, crop_from_cutout, nearer), occluded
    return image, instances


def _covered_by(
    cutout: Cutout,
    crop_from_cutout: Float[np.ndarray, "2 3"],
    instances: Instances,
    nearer: Bool[np.ndarray, "H W"] | None,
) -> Bool[np.ndarray, "P J"]:
    """Labelled joints where the cut-out is at least half opaque, except where `nearer`."""
    cutout_xy = apply_affine(cv2.invertAffineTransform(crop_from_cutout), instances.keypoints_xy)
    covered = (at(cutout.rgba[..., 3], cutout_xy) >= 128) & (instances.visibility > 0)
    return covered if nearer is None else covered & ~at(nearer, instances.keypoints_xy)


def _coverable(instances: Instances, max_covered: float) -> tuple[Bool[np.ndarray, " J"], float]:
    """Uncovered labelled joints of the target, and the maximum number of them that may be covered."""
    labelled, covered = instances.visibility[0] > 0, covered_joints(instances)
    return labelled & ~covered, max_covered * np.count_nonzero(labelled) - np.count_nonzero(covered)


def _fill(
    height: int, width: int, other_image: UInt8[np.ndarray, "h w 3"] | None, rng: np.random.Generator
) -> UInt8[np.ndarray, "*size 3"]:
    """Noise, a flat colour or a patch of another image, with equal probabilities; a flat colour has shape 1 x 1 x 3."""
    kind, down, across = rng.random(3).tolist()
    if other_image is not None and kind < 1 / 3:
        rows, columns = min(height, other_image.shape[0]), min(width, other_image.shape[1])
        top, left = int(down * (other_image.shape[0] - rows + 1)), int(across * (other_image.shape[1] - columns + 1))
        patch = other_image[top : top + rows, left : left + columns]
        return patch if patch.shape[:2] == (height, width) else cv2.resize(patch, (width, height))
    shape = (height, width, 3) if kind < (1 / 2 if other_image is None else 2 / 3) else (1, 1, 3)
    return rng.integers(0, 256, shape, dtype=np.uint8)


def check_pool(pool: Pool | Sequence[Cutout]) -> None:
    """Raise a UserError with the rejection reasons if the pool is empty."""
    if len(pool) == 0:
        rejected = pool.rejected if isinstance(pool, Pool) else {}
        reasons = ", ".join(f"{reason}: {count}" for reason, count in rejected.items() if count)
        raise UserError(
            "the instance pool is empty",
            where=getattr(pool, "path", None),
            got=f"{sum(rejected.values())} persons rejected ({reasons})" if reasons else None,
            do="loosen `pool` in params.yaml or set cache.paste_instance.p to 0",
        )


def _draw(pool: Pool | Sequence[Cutout], image_path: str | None, joints: int, rng: np.random.Generator) -> Cutout:
    """A random cut-out, preferably from another image than `image_path`; `joints` is the expected number of joints."""
    check_pool(pool)
    first = int(rng.integers(len(pool)))
    cutout = pool[first]
    for step in range(1, len(pool)):
        if cutout.image_path != image_path:
            break
        cutout = pool[(first + step) % len(pool)]
    if len(cutout.visibility) != joints:
        raise UserError(
            "the pool's instances have another number of joints",
            where=getattr(pool, "path", None),
            expected=joints,
            got=len(cutout.visibility),
            do="build the pool from the same data set",
        )
    return cutout


def _placement(
    cutout: Cutout, center_xy: Float[np.ndarray, "2"], scale: float, rotation: float
) -> Float[np.ndarray, "2 3"]:
    """Affine map that puts the cut-out's centre at `center_xy`; the rotation is in radians."""
    a, b = scale * math.cos(rotation), scale * math.sin(rotation)
    x, y = (cutout.parts.shape[1] - 1) / 2, (cutout.parts.shape[0] - 1) / 2
    return np.array([[a, -b, center_xy[0] - a * x + b * y], [b, a, center_xy[1] - b * x - a * y]])


def _pasted(
    cutout: Cutout,
    crop_from_cutout: Float[np.ndarray, "2 3"],
    crop_hw: tuple[int, ...],
    nearer: Bool[np.ndarray, "H W"] | None,
) -> Instances:
    """The pasted instance in a crop of this height and width; its joints are occluded where the target is nearer."""
    xy = apply_affine(crop_from_cutout, cutout.keypoints_xy)[None]
    labelled = (cutout.visibility > 0) & inside_image(xy, crop_hw[1], crop_hw[0])
    source = np.where(labelled, np.int8(Source.PASTED), np.int8(Source.NONE))
    visibility = np.where(labelled, cutout.visibility, np.int8(Visibility.UNLABELLED))
    pasted = Instances(np.where(labelled[..., None], xy, 0.0), visibility, source, np.zeros_like(visibility))
    return pasted if nearer is None else mark_covered(pasted, at(nearer, pasted.keypoints_xy), Occluder.PERSON)
