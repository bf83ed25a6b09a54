"""Rendering of padded person crops from an image, clean and occluded."""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from dag.annotation import PersonAnnotation
from dag.augmentation.instances import Instances
from dag.augmentation.occlusion import mask_joints, paste_instance
from dag.cache.shards import IGNORE_STRIDE, Crop
from dag.geometry import apply_affine, crop_from_box, input_from_image, inside_image
from dag.masks import decode_mask
from dag.pool.pool import Cutout, Pool

MAX_DRAWS = 20
"""Maximum number of times that occlusion is drawn for a rendering until one is applied."""


def canvas_size(input_wh: tuple[int, int], margin: float) -> tuple[int, int]:
    """Width and height of the canvas: about `margin` times the input, an even number of `IGNORE_STRIDE` blocks.

    Input sides are multiples of 32, so the input lies at whole pixels in the middle of the canvas, and a crop that is
    neither rotated nor scaled is not resampled a second time.
    """
    width, height = (2 * IGNORE_STRIDE * round(side * margin / (2 * IGNORE_STRIDE)) for side in input_wh)
    return width, height


def canvas_from_box(
    bbox_xywh: Float[np.ndarray, "4"], input_wh: tuple[int, int], canvas_wh: tuple[int, int]
) -> Float[np.ndarray, "2 3"]:
    """Affine map from the image to a person's canvas, at the scale of the network's input."""
    center_xy, size_wh = crop_from_box(bbox_xywh, input_wh)
    return input_from_image(center_xy, size_wh * (canvas_wh[0] / input_wh[0]), canvas_wh)


def is_trainable(person: PersonAnnotation) -> bool:
    """Whether a person is no crowd and has labelled joints and a bounding box with an area."""
    return person.is_evaluated and bool((person.bbox_xywh[2:] > 0).all())


def render_person(
    image: UInt8[np.ndarray, "H W 3"],
    person: PersonAnnotation,
    others: Sequence[PersonAnnotation],
    pool: Pool | Sequence[Cutout],
    *,
    unlabelled: UInt8[np.ndarray, "H W"],
    other_image: UInt8[np.ndarray, "h w 3"] | None,
    input_wh: tuple[int, int],
    canvas_wh: tuple[int, int],
    variants: int,
    mask: Mapping[str, float],
    paste: Mapping[str, float],
    seed: int,
) -> list[Crop]:
    """The clean crop of a person, then `variants` occluded ones.

    Args:
        image: the whole image, RGB.
        person: the target.
        others: all other annotations of the image, including crowds.
        pool: instance pool; may be empty if `paste["p"]` is 0.
        unlabelled: `unlabelled_region` of the image.
        other_image: source of the patches of `mask_joints`.
        input_wh, canvas_wh: network input and canvas, width and height in pixels.
        variants: number of occluded renderings.
        mask: probability `p` and the keywords of `mask_joints`, sizes in canvas pixels.
        paste: probability `p` and the keywords of `paste_instance`.
        seed: each rendering is seeded by (seed, person id, variant).
    """
    affine = canvas_from_box(person.bbox_xywh, input_wh, canvas_wh)
    clean = cv2.warpAffine(image, affine, canvas_wh), _instances_in_canvas(person, others, affine, canvas_wh)
    mask_keywords = {**mask, "other_image": other_image}
    paste_keywords = {
        **paste,
        "body_diagonal": float(np.hypot(*person.bbox_xywh[2:]) * np.hypot(*affine[:, 0])),
        "target_mask": _warp_region(_region(person), affine, canvas_wh) if person.segmentation else None,
        "center_xywh": _image_in_input(image.shape[1::-1], affine, input_wh, canvas_wh),
        "image_path": person.image_path,
    }
    renderings = [clean]
    for variant in range(1, variants + 1):
        rng = np.random.default_rng((seed, person.person_id, variant))
        renderings.append(_occlude(*clean, pool, rng, mask_keywords, paste_keywords))
    ignore = _blocks(_warp_region(unlabelled, affine, canvas_wh))
    return [
        Crop(
            person_id=person.person_id,
            variant=variant,
            image=canvas,
            canvas_from_image=affine,
            keypoints_xy=instances.keypoints_xy,
            visibility=instances.visibility,
            occluder=instances.occluder,
            ignore=ignore,
        )
        for variant, (canvas, instances) in enumerate(renderings)
    ]


def _occlude(
    canvas: UInt8[np.ndarray, "Hc Wc 3"],
    instances: Instances,
    pool: Pool | Sequence[Cutout],
    rng: np.random.Generator,
    mask: Mapping[str, Any],
    paste: Mapping[str, Any],
) -> tuple[UInt8[np.ndarray, "Hc Wc 3"], Instances]:
    """Draw both kinds of occlusion until at least one is applied; without success, the clean canvas is returned."""
    mask, paste = dict(mask), dict(paste)
    mask_p, paste_p = mask.pop("p"), paste.pop("p")
    for _ in range(MAX_DRAWS if mask_p or paste_p else 0):
        image, occluded = canvas, instances
        with_mask, with_paste = rng.random(2) < (mask_p, paste_p)
        if with_mask:
            image, occluded = mask_joints(image, occluded, rng, **mask)
        if with_paste:
            image, occluded = paste_instance(image, occluded, pool, rng, **paste)
        if image is not canvas:
            return image, occluded
    return canvas, instances


def _instances_in_canvas(
    person: PersonAnnotation,
    others: Sequence[PersonAnnotation],
    affine: Float[np.ndarray, "2 3"],
    canvas_wh: tuple[int, int],
) -> Instances:
    """The target, then all other persons with a labelled joint in the canvas; joints outside are unlabelled."""
    persons = [person, *(other for other in others if other.is_evaluated)]
    xy = apply_affine(affine, np.stack([each.keypoints_xy for each in persons]).astype(float))
    visibility = np.stack([each.visibility for each in persons])
    labelled = (visibility > 0) & inside_image(xy, *canvas_wh)
    keep = labelled.any(axis=1) | (np.arange(len(persons)) == 0)
    flags = [
        np.where(labelled, np.stack([getattr(each, name) for each in persons]), np.int8(0))[keep]
        for name in ("visibility", "visibility_source", "occluder")
    ]
    return Instances(np.where(labelled[..., None], xy, 0.0)[keep], *flags)


def _image_in_input(
    image_wh: tuple[int, int],
    affine: Float[np.ndarray, "2 3"],
    input_wh: tuple[int, int],
    canvas_wh: tuple[int, int],
) -> Float[np.ndarray, "4"]:
    """The part of the network input that the image fills, as x, y, width, height in canvas pixels."""
    canvas, window, last = np.array(canvas_wh), np.array(input_wh), np.array(image_wh) - 1.0
    start = np.maximum((canvas - window) / 2, apply_affine(affine, np.zeros(2)))
    end = np.minimum((canvas + window) / 2 - 1, apply_affine(affine, last))
    return np.concatenate([start, np.maximum(end - start, 0)])


def unlabelled_region(persons: Sequence[PersonAnnotation]) -> UInt8[np.ndarray, "H W"]:
    """1 where a crowd or a person without labelled joints is, at the image's size; `persons` are all of one image."""
    region = np.zeros((persons[0].image_height, persons[0].image_width), dtype=np.uint8)
    for person in persons:
        if not person.is_evaluated:
            region |= _region(person)
    return region


def _region(person: PersonAnnotation) -> UInt8[np.ndarray, "H W"]:
    """Annotated mask of a person at the image's size; the filled box of a person without a mask."""
    mask = decode_mask(person)
    if mask is not None:
        return mask.astype(np.uint8)
    region = np.zeros((person.image_height, person.image_width), dtype=np.uint8)
    left, top, width, height = person.bbox_xywh
    rows = slice(max(round(top), 0), max(round(top + height), 0))
    region[rows, max(round(left), 0) : max(round(left + width), 0)] = 1
    return region


def _warp_region(
    region: UInt8[np.ndarray, "H W"], affine: Float[np.ndarray, "2 3"], canvas_wh: tuple[int, int]
) -> Bool[np.ndarray, "Hc Wc"]:
    """Region in canvas pixels, nearest neighbour; empty outside the image."""
    return cv2.warpAffine(region, affine, canvas_wh, flags=cv2.INTER_NEAREST).astype(bool)


def _blocks(region: Bool[np.ndarray, "Hc Wc"]) -> UInt8[np.ndarray, "hc wc"]:
    """1 in every `IGNORE_STRIDE` x `IGNORE_STRIDE` block that the region overlaps."""
    height, width = np.array(region.shape) // IGNORE_STRIDE
    touched = region.reshape(height, IGNORE_STRIDE, width, IGNORE_STRIDE).any(axis=(1, 3))
    return np.asarray(touched, dtype=np.uint8)
