"""D: occluded training samples, as plain functions on one crop. Randomness is an argument; inputs are never modified.

Laws that both functions keep, for every person and joint:

- Visibility never rises. A visible joint that gets covered becomes `HIDDEN` with source `PASTED`; a joint that was
  hidden already keeps its number and source. What lies on top is recorded as its occluder.
- The target (person 0) keeps the label of every joint: to learn where a hidden joint is, it has to be asked for.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from dag.data.blend import blend
from dag.data.cutout import Cutout, Pool
from dag.data.people import People, append, at, cover, hide, joints_diagonal, pixel_of
from dag.errors import UserError
from dag.geometry import apply_affine, inside_image, invert
from dag.person import Occluder, Source, Visibility

PASTED_SIZE = 0.9
POSITIONS = 8


def mask_joints(
    image: UInt8[np.ndarray, "H W 3"],
    people: People,
    rng: np.random.Generator,
    *,
    min_count: int,
    max_count: int,
    min_size: float,
    max_size: float,
    other_image: UInt8[np.ndarray, "h w 3"] | None = None,
) -> tuple[UInt8[np.ndarray, "H W 3"], People]:
    """Put rectangles over randomly chosen labelled joints of the target, at most one a joint.

    Every rectangle covers the joint that it was drawn for, somewhere inside it, and is filled with noise, a flat colour
    or a patch of `other_image`. All joints of all people under a rectangle keep their label (occluder `OBJECT`).
    An image whose target has no labelled joint comes back as it is.

    Args:
        image: RGB crop.
        people: everyone in the crop.
        rng: decides everything.
        min_count, max_count: number of rectangles, both inclusive.
        min_size, max_size: their width and height, in pixels of the crop.
        other_image: where patches are taken from; None for noise and flat colours only.
    """
    height, width = image.shape[:2]
    labelled = (people.visibility[0] > 0) & inside_image(people.keypoints_xy[0], width, height)
    candidates = np.flatnonzero(labelled)
    if not len(candidates):
        return image, people
    image, covered = image.copy(), np.zeros((height, width), dtype=bool)
    count = min(int(rng.integers(min_count, max_count + 1)), len(candidates))
    for joint in rng.choice(candidates, count, replace=False):
        size = np.maximum(np.rint(rng.uniform(min_size, max_size, 2)), 1).astype(int)
        start = pixel_of(people.keypoints_xy[0, joint]) - rng.integers(0, size)
        start, end = np.maximum(start, 0), np.minimum(start + size, (width, height))
        (left, top), (right, bottom) = start.tolist(), end.tolist()
        image[top:bottom, left:right] = _fill(bottom - top, right - left, other_image, rng)
        covered[top:bottom, left:right] = True
    return image, hide(people, at(covered, people.keypoints_xy), Occluder.OBJECT)


def paste_instance(
    image: UInt8[np.ndarray, "H W 3"],
    people: People,
    pool: Pool | Sequence[Cutout],
    rng: np.random.Generator,
    *,
    min_scale: float,
    max_scale: float,
    max_rotation: float,
    max_covered: float,
    body_diagonal: float | None = None,
    target_mask: Bool[np.ndarray, "H W"] | None = None,
    center_xywh: Float[np.ndarray, "4"] | None = None,
    image_path: str | None = None,
) -> tuple[UInt8[np.ndarray, "H W 3"], People]:
    """Paste a whole person of the pool: a random one, at a random place, size and rotation.

    The pasted person joins `people` as the last one (source `PASTED`; joints outside the crop unlabelled). Joints of
    the target under it keep their label (occluder `PERSON`); joints of others under it become unlabelled. At most
    `max_covered` of the target's labelled joints are under it or under something pasted before; a few positions are
    tried, and if none obeys, nothing is pasted and the same image comes back.

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
        image_path: the crop's own photograph, whose people are not pasted while the pool has others.

    Raises:
        UserError: the pool is empty or its people have another number of joints.
    """
    cutout = _draw(pool, image_path, people.visibility.shape[1], rng)
    diagonal = joints_diagonal(people) if body_diagonal is None else body_diagonal
    nearer = target_mask if target_mask is not None and rng.random() < 0.5 else np.zeros(image.shape[:2], dtype=bool)
    if diagonal <= 0:
        return image, people
    if center_xywh is None:
        center_xywh = np.array([0.0, 0.0, image.shape[1] - 1.0, image.shape[0] - 1.0])
    for _ in range(POSITIONS):
        scale = PASTED_SIZE * diagonal * rng.uniform(min_scale, max_scale) / np.hypot(*cutout.parts.shape)
        crop_from_cutout = _placement(cutout, center_xywh, scale, rng.uniform(-max_rotation, max_rotation), rng)
        alpha = at(cutout.rgba[..., 3], apply_affine(invert(crop_from_cutout), people.keypoints_xy)) >= 128
        covered = alpha & ~at(nearer, people.keypoints_xy) & (people.visibility > 0)
        under_pasted = covered[0] | (people.visibility_source[0] == Source.PASTED)
        if under_pasted.sum() <= max_covered * (people.visibility[0] > 0).sum():
            pasted = _pasted(cutout, crop_from_cutout, nearer)
            return blend(image, cutout.rgba, crop_from_cutout, nearer), append(cover(people, covered), pasted)
    return image, people


def _fill(
    height: int, width: int, other_image: UInt8[np.ndarray, "h w 3"] | None, rng: np.random.Generator
) -> UInt8[np.ndarray, "*size 3"]:
    """Noise, a flat colour, or a patch of another photograph; equally often."""
    kind = rng.integers(2 if other_image is None else 3)
    if kind == 0:
        return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if kind == 1 or other_image is None:
        return rng.integers(0, 256, (1, 1, 3), dtype=np.uint8)
    rows, columns = min(height, other_image.shape[0]), min(width, other_image.shape[1])
    top, left = rng.integers(other_image.shape[0] - rows + 1), rng.integers(other_image.shape[1] - columns + 1)
    return cv2.resize(other_image[top : top + rows, left : left + columns], (width, height))


def check_pool(pool: Pool | Sequence[Cutout]) -> None:
    """Raise a UserError if there is nobody to paste."""
    if len(pool) == 0:
        raise UserError(
            "the pool is empty, there is nobody to paste",
            where=getattr(pool, "path", None),
            do="loosen `pool` in params.yaml (its metrics count the rejections) or set cache.paste_instance.p to 0",
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
    cutout: Cutout, center_xywh: Float[np.ndarray, "4"], scale: float, rotation: float, rng: np.random.Generator
) -> Float[np.ndarray, "2 3"]:
    """Map that puts the cut-out's centre at random into a box."""
    sine, cosine = np.sin(np.deg2rad(rotation)), np.cos(np.deg2rad(rotation))
    linear = scale * np.array([[cosine, -sine], [sine, cosine]])
    center = (np.array(cutout.parts.shape[::-1]) - 1) / 2
    place = center_xywh[:2] + rng.random(2) * center_xywh[2:]
    return np.column_stack([linear, place - linear @ center])


def _pasted(cutout: Cutout, crop_from_cutout: Float[np.ndarray, "2 3"], nearer: Bool[np.ndarray, "H W"]) -> People:
    """The pasted person, hidden where the target is nearer."""
    xy = apply_affine(crop_from_cutout, cutout.keypoints_xy.astype(float))
    labelled = (cutout.visibility > 0) & inside_image(xy, nearer.shape[1], nearer.shape[0])
    source = np.where(labelled, np.int8(Source.PASTED), np.int8(Source.NONE))
    visibility = np.where(labelled, cutout.visibility, np.int8(Visibility.UNLABELLED))
    unknown = np.full_like(visibility, Occluder.UNKNOWN)
    one = People(np.where(labelled[:, None], xy, 0.0)[None], visibility[None], source[None], unknown[None])
    return hide(one, at(nearer, one.keypoints_xy), Occluder.PERSON)
