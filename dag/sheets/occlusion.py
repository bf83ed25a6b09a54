"""Contact sheet of mask joints and instance paste: examples from a crop cache and an instance pool."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from dag.annotation import Source, Visibility
from dag.augmentation.instances import Instances
from dag.augmentation.occlusion import REFERENCE_HEIGHT, check_pool, mask_joints, paste_instance
from dag.cache.shards import IGNORE_STRIDE, Crop, Shards
from dag.errors import UserError
from dag.geometry import inside_image
from dag.pool.pool import Pool
from dag.sheets.cache import draw_crop
from dag.sheets.drawing import caption, write_sheet

MIN_VISIBLE = 0.8
"""Minimum fraction of visible joints of a person that is drawn."""

# The documentation has such a sheet: a small file.
JPEG_QUALITY = 75


def write_occlusion_sheet(path: str | Path, cache: str | Path, pool: str | Path, *, persons: int, seed: int) -> None:
    """Draw persons of a crop cache clean, with masked joints, with a pasted instance and with both, one row each.

    Persons are chosen at even intervals among those of the cache whose joints are mostly visible. Images are network
    inputs with labels as in `draw_crop`.

    Args:
        path: the JPEG to write.
        cache: folder of the crop cache.
        pool: the pool file.
        persons: maximum number of persons.
        seed: of the occlusion, with the person id.

    Raises:
        UserError: no cache, an empty pool, or no person whose joints are mostly visible.
    """
    shards, cutouts = Shards(cache), Pool(pool)
    check_pool(cutouts)
    crops = [_input(shards.crop(index, 0), shards.input_wh) for index in range(len(shards))]
    crops = [crop for crop in crops if (crop.visibility[0] == Visibility.VISIBLE).mean() >= MIN_VISIBLE]
    if not crops:
        raise UserError("no person is mostly visible", where=cache, do="build a cache of more persons")
    chosen = np.unique(np.linspace(0, len(crops) - 1, min(persons, len(crops))).round().astype(int))
    tiles = []
    for number, crop in zip(chosen, [crops[number] for number in chosen]):
        rng = np.random.default_rng((seed, crop.person_id))
        other = crops[(number + 1) % len(crops)].image
        for name, occluded in _occluded(crop, other, cutouts, rng).items():
            image = draw_crop(occluded, shards.skeleton)
            tiles.append(caption(np.pad(image, ((0, 18), (0, 0), (0, 0))), name))
    write_sheet(path, tiles, columns=4, quality=JPEG_QUALITY)


def _occluded(
    crop: Crop, other_image: UInt8[np.ndarray, "H W 3"], pool: Pool, rng: np.random.Generator
) -> dict[str, Crop]:
    """The clean crop and its occluded versions, by caption."""
    scale = crop.image.shape[0] / REFERENCE_HEIGHT
    source = np.where(crop.visibility > 0, np.int8(Source.ANNOTATED), np.int8(Source.NONE))
    clean = crop.image, Instances(crop.keypoints_xy, crop.visibility, source, crop.occluder)
    masked = mask_joints(*clean, rng, min_size=10 * scale, max_size=40 * scale, other_image=other_image)
    pasted, both = paste_instance(*clean, pool, rng), paste_instance(*masked, pool, rng)
    images = {"clean": clean, "mask joints": masked, "instance paste": pasted, "both": both}
    return {
        name: replace(
            crop,
            image=image,
            keypoints_xy=instances.keypoints_xy,
            visibility=instances.visibility,
            occluder=instances.occluder,
        )
        for name, (image, instances) in images.items()
    }


def _input(crop: Crop, input_wh: tuple[int, int]) -> Crop:
    """The middle of the canvas, which is the network input; joints outside become unlabelled."""
    width, height = input_wh
    left, top = (crop.image.shape[1] - width) // 2, (crop.image.shape[0] - height) // 2
    xy = crop.keypoints_xy.astype(float) - (left, top)
    labelled = (crop.visibility > 0) & inside_image(xy, width, height)
    return replace(
        crop,
        image=crop.image[top : top + height, left : left + width],
        keypoints_xy=np.where(labelled[..., None], xy, 0.0),
        visibility=np.where(labelled, crop.visibility, np.int8(Visibility.UNLABELLED)),
        occluder=np.where(labelled, crop.occluder, np.int8(0)),
        ignore=np.zeros((height // IGNORE_STRIDE, width // IGNORE_STRIDE), np.uint8),
    )
