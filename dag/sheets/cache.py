"""Contact sheet of the crop cache: for each person, the clean and the occluded renderings side by side."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from dag.annotation import Visibility
from dag.cache.shards import Crop, Shards
from dag.geometry import pixel_of
from dag.sheets.drawing import OCCLUDED, VISIBLE, caption, write_sheet
from dag.skeleton import Skeleton

PERSONS = 24
SHEET_WIDTH = 1800

CROP_WIDTH = 240
"""Width in pixels to which small renderings are about enlarged."""

OTHERS, BONE = (80, 160, 255), (255, 255, 255)
"""RGB colours of the joints of other persons and of the target's bones."""


def write_cache_sheet(path: str | Path, folder: str | Path, persons: int = PERSONS) -> None:
    """Draw all renderings (`draw_crop`) of `persons` persons at even intervals of a cache, with the person ids."""
    shards = Shards(folder)
    chosen = np.unique(np.linspace(0, len(shards) - 1, min(persons, len(shards))).round().astype(int))
    strips = [_strip(shards, int(index)) for index in chosen]
    write_sheet(path, strips, columns=max(1, SHEET_WIDTH // strips[0].shape[1]))


def _strip(shards: Shards, index: int) -> UInt8[np.ndarray, "H W 3"]:
    crops = [shards.crop(index, variant) for variant in range(shards.variants + 1)]
    strip = np.hstack([draw_crop(crop, shards.skeleton) for crop in crops])
    return caption(cv2.copyMakeBorder(strip, 0, 18, 0, 0, cv2.BORDER_CONSTANT), str(crops[0].person_id))


def draw_crop(crop: Crop, skeleton: Skeleton) -> UInt8[np.ndarray, "H W 3"]:
    """A rendering with its labels; small ones are enlarged by a whole factor.

    The target's bones are white, its joints green if visible and orange if occluded. Joints of other persons are blue,
    hollow if occluded. Ignored regions (crowds and persons without labels) are darkened.
    """
    zoom = max(1, round(CROP_WIDTH / crop.image.shape[1]))
    image = cv2.resize(crop.image, None, fx=zoom, fy=zoom)
    ignored = cv2.resize(crop.ignore, image.shape[1::-1], interpolation=cv2.INTER_NEAREST).astype(bool)
    image[ignored] //= 3
    for number, (keypoints_xy, visibility) in enumerate(zip(crop.keypoints_xy, crop.visibility)):
        points = [tuple(point) for point in pixel_of((keypoints_xy + 0.5) * zoom - 0.5).tolist()]
        for first, second in skeleton.bone_index if number == 0 else ():
            if visibility[first] and visibility[second]:
                cv2.line(image, points[first], points[second], BONE, 1, cv2.LINE_AA)
        for joint in np.flatnonzero(visibility):
            visible = visibility[joint] == Visibility.VISIBLE
            colour = OTHERS if number else VISIBLE if visible else OCCLUDED
            cv2.circle(image, points[joint], 3, colour, 1 if number and not visible else -1, cv2.LINE_AA)
    return cv2.copyMakeBorder(image, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
