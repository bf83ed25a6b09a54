"""Contact sheet of the crop cache: a strip for each person, clean and occluded."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from dag.annotation import Visibility
from dag.cache.shards import Crop, Shards
from dag.geometry import pixel_of
from dag.sheets.drawing import OCCLUDED, VISIBLE, caption, write_sheet
from dag.skeleton import Skeleton

PEOPLE = 24
SHEET_WIDTH = 1800
# Small canvases are enlarged to about this width, for the eye.
CROP_WIDTH = 240
OTHERS, BONE = (80, 160, 255), (255, 255, 255)


def write_cache_sheet(path: str | Path, folder: str | Path, people: int = PEOPLE) -> None:
    """Draw `people` people spread evenly over a cache, the person id below each strip of `draw_crop`s."""
    shards = Shards(folder)
    chosen = np.unique(np.linspace(0, len(shards) - 1, min(people, len(shards))).round().astype(int))
    strips = [_strip(shards, int(index)) for index in chosen]
    write_sheet(path, strips, columns=max(1, SHEET_WIDTH // strips[0].shape[1]))


def _strip(shards: Shards, index: int) -> UInt8[np.ndarray, "H W 3"]:
    crops = [shards.crop(index, variant) for variant in range(shards.variants + 1)]
    strip = np.hstack([draw_crop(crop, shards.skeleton) for crop in crops])
    return caption(cv2.copyMakeBorder(strip, 0, 18, 0, 0, cv2.BORDER_CONSTANT), str(crops[0].person_id))


def draw_crop(crop: Crop, skeleton: Skeleton) -> UInt8[np.ndarray, "H W 3"]:
    """A rendering with its labels, enlarged where it is small.

    The target has bones and joints, green where visible, orange where occluded; joints of others are blue, hollow where
    occluded. Places where people without labels are ignored are darkened.
    """
    zoom = max(1, round(CROP_WIDTH / crop.image.shape[1]))
    picture = cv2.resize(crop.image, None, fx=zoom, fy=zoom)
    ignored = cv2.resize(crop.ignore, picture.shape[1::-1], interpolation=cv2.INTER_NEAREST).astype(bool)
    picture[ignored] //= 3
    for number, (keypoints_xy, visibility) in enumerate(zip(crop.keypoints_xy, crop.visibility)):
        points = [tuple(point) for point in pixel_of((keypoints_xy + 0.5) * zoom - 0.5).tolist()]
        for first, second in skeleton.bone_index if number == 0 else ():
            if visibility[first] and visibility[second]:
                cv2.line(picture, points[first], points[second], BONE, 1, cv2.LINE_AA)
        for joint in np.flatnonzero(visibility):
            visible = visibility[joint] == Visibility.VISIBLE
            colour = OTHERS if number else VISIBLE if visible else OCCLUDED
            cv2.circle(picture, points[joint], 3, colour, 1 if number and not visible else -1, cv2.LINE_AA)
    return cv2.copyMakeBorder(picture, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
