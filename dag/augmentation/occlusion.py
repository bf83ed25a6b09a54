"""D: occluded training samples, as plain functions on one crop. Randomness is an argument; inputs are never modified.

Laws that both functions keep, for every person and joint:

- Visibility never rises. A visible joint that gets covered becomes `OCCLUDED` with source `PASTED`; a joint that was
  occluded already keeps its number and source. What lies on top is recorded as its occluder.
- The target (person 0) keeps the label of every joint: to learn where a occluded joint is, it has to be asked for.
- No more than `max_covered` of the target's labelled joints come to lie under objects and other people (`under`),
  whoever put them there: so it holds for both functions together, and for what the image itself hides.

The defaults are the paper's, for a crop of 192 x 256 pixels (docs/occlusion.md).
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from dag.annotation import Occluder, Source, Visibility
from dag.augmentation.blending import blend
from dag.augmentation.instances import Instances, append, cover, hide, joints_diagonal, under
from dag.errors import UserError
from dag.geometry import apply_affine, at, inside_image, pixel_of
from dag.pool.pool import Cutout, Pool

PASTED_SIZE = 0.9
POSITIONS = 8


def mask_joints(
    image: UInt8[np.ndarray, "H W 3"],
    people: Instances,
    rng: np.random.Generator,
    *,
    min_count: int = 1,
    max_count: int = 8,
    min_size: float = 10.0,
    max_size: float = 40.0,
    max_covered: float = 0.8,
    other_image: UInt8[np.ndarray, "h w 3"] | None = None,
) -> tuple[UInt8[np.ndarray, "H W 3"], Instances]:
    """Put rectangles over randomly chosen labelled joints of the target, at most one a joint.

    Every rectangle covers the joint that it was drawn for, somewhere inside it, and is filled with noise, a flat colour
    or a patch of `other_image`. All joints of all people under a rectangle keep their label (occluder `OBJECT`). A
    rectangle that would cover too much is left out. Where none is drawn, the same image and people come back.

    Args:
        image: RGB crop.
        people: everyone in the crop.
        rng: decides everything.
        min_count, max_count: number of rectangles, both inclusive.
        min_size, max_size: their width and height, in pixels of the crop.
        max_covered: share of the target's labelled joints, 0-1.
        other_image: where patches are taken from; None for noise and flat colours only.
    """
    height, width = image.shape[:2]
    pixels = pixel_of(people.keypoints_xy)
    candidates = np.flatnonzero((people.visibility[0] > 0) & inside_image(people.keypoints_xy[0], width, height))
    count = min(int(rng.integers(min_count, max_count + 1)), len(candidates))
    joints = rng.permutation(candidates)[:count]
    sizes = np.maximum(np.rint(rng.uniform(min_size, max_size, (count, 2))), 1)
    starts = pixels[0, joints] - (rng.random((count, 2)) * sizes).astype(int)
    ends = np.minimum(starts + sizes.astype(int), (width, height))
    starts = np.maximum(starts, 0)
    inside = np.all((pixels >= starts[:, None, None]) & (pixels < ends[:, None, None]), axis=-1)
    free, room = _room(people, max_covered)
    occluded, covered = None, np.zeros(people.visibility.shape, dtype=bool)
    for (left, top), (right, bottom), joints_inside in zip(starts.tolist(), ends.tolist(), inside):
        if np.count_nonzero((covered[0] | joints_inside[0]) & free) <= room:
            occluded = image.copy() if occluded is None else occluded
            occluded[top:bottom, left:right] = _fill(bottom - top, right - left, other_image, rng)
            covered |= joints_inside
    return (image, people) if occluded is None else (occluded, hide(people, covered, Occluder.OBJECT))


def paste_instance(
    image: UInt8[np.ndarray, "H W 3"],
    people: Instances,
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
    """Paste a whole person of the pool: a random one, at a random place, size and rotation.

    The pasted person joins `people` as the last one (source `PASTED`; joints outside the crop unlabelled). Joints of
    the target under it keep their label (occluder `PERSON`); joints of others under it become unlabelled. A few
    positions are tried, and if each would cover too much, nothing is pasted and the same image and people come back.

    Args:
        image: RGB crop.
        people: everyone in the crop.
        pool: cut-out people.
        rng: decides everything.
        min_scale, max_scale: the pasted diagonal is .9 times the target's, times a number from this range.
        max_rotation: degrees, either way.
        max_covered: share of the target's labelled joints, 0-1.
        body_diagonal: diagonal of the target's box in pixels of the crop; None measures its labelled joints.
        target_mask: the target's pixels. With it, half of the people go behind the target; without, all in front.
        center_xywh: box in which the pasted person's centre lies, in pixels of the crop; None is the whole crop.
        image_path: the crop's own image, whose people are not pasted while the pool has others.

    Raises:
        UserError: the pool is empty or its people have another number of joints.
    """
    cutout = _draw(pool, image_path, people.visibility.shape[1], rng)
    diagonal = joints_diagonal(people) if body_diagonal is None else body_diagonal
    nearer = target_mask if target_mask is not None and rng.random() < 0.5 else None
    if diagonal <= 0:
        return image, people
    if center_xywh is None:
        center_xywh = np.array([0.0, 0.0, image.shape[1] - 1.0, image.shape[0] - 1.0])
    free, room = _room(people, max_covered)
    unit = PASTED_SIZE * diagonal / math.hypot(*cutout.parts.shape)
    for size, turn, *place in rng.random((POSITIONS, 4)).tolist():
        scale = unit * (min_scale + size * (max_scale - min_scale))
        rotation = math.radians((2 * turn - 1) * max_rotation)
        crop_from_cutout = _placement(cutout, center_xywh[:2] + center_xywh[2:] * place, scale, rotation)
        covered = (
            at(cutout.rgba[..., 3], apply_affine(cv2.invertAffineTransform(crop_from_cutout), people.keypoints_xy))
            >= 128
        )
        if nearer is not None:
            covered &= ~at(nearer, people.keypoints_xy)
        covered &= people.visibility > 0
        if np.count_nonzero(covered[0] & free) <= room:
            pasted = _pasted(cutout, crop_from_cutout, image.shape[:2], nearer)
            return blend(image, cutout.rgba, crop_from_cutout, nearer), append(cover(people, covered), pasted)
    return image, people


def _room(people: Instances, max_covered: float) -> tuple[Bool[np.ndarray, " J"], float]:
    """Labelled joints of the target that nothing lies on, and how many of them may be covered."""
    labelled, taken = people.visibility[0] > 0, under(people)
    return labelled & ~taken, max_covered * np.count_nonzero(labelled) - np.count_nonzero(taken)


def _fill(
    height: int, width: int, other_image: UInt8[np.ndarray, "h w 3"] | None, rng: np.random.Generator
) -> UInt8[np.ndarray, "*size 3"]:
    """Noise, a flat colour, or a patch of another image; equally often."""
    kind, down, across = rng.random(3).tolist()
    if other_image is not None and kind < 1 / 3:
        rows, columns = min(height, other_image.shape[0]), min(width, other_image.shape[1])
        top, left = int(down * (other_image.shape[0] - rows + 1)), int(across * (other_image.shape[1] - columns + 1))
        patch = other_image[top : top + rows, left : left + columns]
        return patch if patch.shape[:2] == (height, width) else cv2.resize(patch, (width, height))
    shape = (height, width, 3) if kind < (1 / 2 if other_image is None else 2 / 3) else (1, 1, 3)
    return rng.integers(0, 256, shape, dtype=np.uint8)


def check_pool(pool: Pool | Sequence[Cutout]) -> None:
    """Raise a UserError that says why, if there is nobody to paste."""
    if len(pool) == 0:
        rejected = pool.rejected if isinstance(pool, Pool) else {}
        reasons = ", ".join(f"{reason}: {count}" for reason, count in rejected.items() if count)
        raise UserError(
            "the pool is empty, there is nobody to paste",
            where=getattr(pool, "path", None),
            got=f"{sum(rejected.values())} people rejected ({reasons})" if reasons else None,
            do="loosen `pool` in params.yaml or set cache.paste_instance.p to 0",
        )


def _draw(pool: Pool | Sequence[Cutout], image_path: str | None, joints: int, rng: np.random.Generator) -> Cutout:
    check_pool(pool)
    first = int(rng.integers(len(pool)))
    cutout = pool[first]
    for step in range(1, len(pool)):
        if cutout.image_path != image_path:
            break
        cutout = pool[(first + step) % len(pool)]
    if len(cutout.visibility) != joints:
        raise UserError(
            "the pool's people have other joints",
            where=getattr(pool, "path", None),
            expected=joints,
            got=len(cutout.visibility),
            do="make the pool from the same data set",
        )
    return cutout


def _placement(
    cutout: Cutout, place: Float[np.ndarray, "2"], scale: float, rotation: float
) -> Float[np.ndarray, "2 3"]:
    """Map that puts the cut-out's centre at a place; the rotation is in radians."""
    a, b = scale * math.cos(rotation), scale * math.sin(rotation)
    x, y = (cutout.parts.shape[1] - 1) / 2, (cutout.parts.shape[0] - 1) / 2
    return np.array([[a, -b, place[0] - a * x + b * y], [b, a, place[1] - b * x - a * y]])


def _pasted(
    cutout: Cutout,
    crop_from_cutout: Float[np.ndarray, "2 3"],
    crop: tuple[int, ...],
    nearer: Bool[np.ndarray, "H W"] | None,
) -> Instances:
    """The pasted person, in a crop of this height and width; occluded where the target is nearer."""
    xy = apply_affine(crop_from_cutout, cutout.keypoints_xy)[None]
    labelled = (cutout.visibility > 0) & inside_image(xy, crop[1], crop[0])
    source = np.where(labelled, np.int8(Source.PASTED), np.int8(Source.NONE))
    visibility = np.where(labelled, cutout.visibility, np.int8(Visibility.UNLABELLED))
    one = Instances(np.where(labelled[..., None], xy, 0.0), visibility, source, np.zeros_like(visibility))
    return one if nearer is None else hide(one, at(nearer, one.keypoints_xy), Occluder.PERSON)
