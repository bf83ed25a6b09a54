"""Pixels of persons in an image: annotated instance masks, boxes, and the part maps of a human parser.

A window is (left, top, width, height) in whole pixels of the image. It may extend beyond the image, where
masks are empty.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pycocotools.mask
from jaxtyping import Bool, UInt8

from dag.annotation import PersonAnnotation

Window = tuple[int, int, int, int]


def decode_mask(person: PersonAnnotation, window: Window | None = None) -> Bool[np.ndarray, "h w"] | None:
    """Annotated mask in a window, by default the whole image; None for annotations without a mask."""
    if person.segmentation is None:
        return None
    image_height, image_width = person.image_height, person.image_width
    image_mask = _decoded(person.segmentation, image_height, image_width)
    if window is None:
        return image_mask.copy()
    left, top, width, height = window
    first, last = max(left, 0), min(left + width, image_width)
    upper, lower = max(top, 0), min(top + height, image_height)
    mask = np.zeros((height, width), dtype=bool)
    if first < last and upper < lower:
        mask[upper - top : lower - top, first - left : last - left] = image_mask[upper:lower, first:last]
    return mask


def mask_window(person: PersonAnnotation) -> Window | None:
    """Bounding box of the annotated mask; None for annotations without a mask or with an empty one."""
    rle = mask_rle(person)
    if rle is None:
        return None
    left, top, width, height = pycocotools.mask.toBbox(rle).astype(int).tolist()
    return (left, top, width, height) if width and height else None


def mask_area(person: PersonAnnotation) -> int:
    """Number of pixels of the annotated mask; 0 for annotations without a mask."""
    rle = mask_rle(person)
    return 0 if rle is None else int(pycocotools.mask.area(rle))


def union_of_masks(persons: Sequence[PersonAnnotation], window: Window) -> Bool[np.ndarray, "h w"]:
    """Union of the annotated masks of `persons` in a window; persons without a mask add nothing."""
    union = np.zeros((window[3], window[2]), dtype=bool)
    for person in persons:
        mask = decode_mask(person, window)
        if mask is not None:
            union |= mask
    return union


def in_box(person: PersonAnnotation, left_top: tuple[int, int], shape: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Pixels that a person's box overlaps, in a window at `left_top` with `shape` (height, width)."""
    left, top, width, height = person.bbox_xywh
    x, y = np.arange(shape[1]) + left_top[0], np.arange(shape[0]) + left_top[1]
    columns = (x > left - 1) & (x < left + width + 1)
    rows = (y > top - 1) & (y < top + height + 1)
    return rows[:, None] & columns


def mask_rle(person: PersonAnnotation) -> Any:
    """Compressed COCO RLE of the annotated mask, as pycocotools.mask takes it; None for annotations without a mask."""
    if person.segmentation is None:
        return None
    return _rle(person.segmentation, person.image_height, person.image_width)


def _rle(segmentation: str, height: int, width: int) -> Any:
    return {"size": [height, width], "counts": segmentation.encode()}


# The masks of an image are decoded once for each of its persons; the cache holds those of one crowded image.
@lru_cache(maxsize=16)
def _decoded(segmentation: str, height: int, width: int) -> Bool[np.ndarray, "H W"]:
    """Read-only mask at the image's size."""
    mask = pycocotools.mask.decode(_rle(segmentation, height, width)).view(bool)
    mask.flags.writeable = False
    return mask


@dataclass(frozen=True, eq=False)
class PartMap:
    """Part map of one person, as returned by a human parser.

    Attributes:
        left, top: position of the map's first pixel in the image, in pixels.
        parts: 0 outside the person, else 1 + the index of the part in the parser's `labels`.
        ambiguous: fraction of the person's pixels that may belong to another person, 0 to 1; 0 without neighbours.
    """

    left: int
    top: int
    parts: UInt8[np.ndarray, "h w"]
    ambiguous: float


@runtime_checkable
class HumanParser(Protocol):
    """Interface of a human parser: segments persons into body parts and separates them from their neighbours.

    To add a parser, write a class with these two members and add a line to `dag.parsing.load.load_parser`. Instances
    are pickled when the stage runs in several processes.

    Attributes:
        labels: names of the parts; label 1 of `PartMap.parts` is `labels[0]`.
    """

    labels: tuple[str, ...]

    def parse(
        self, image: UInt8[np.ndarray, "H W 3"], people: Sequence[PersonAnnotation], targets: Sequence[int]
    ) -> list[PartMap]:
        """One part map for each target, in the order of `targets`.

        Args:
            image: the whole image, RGB.
            people: all annotations of the image, including crowds and persons without keypoints.
            targets: indices into `people` of the persons to parse.
        """
        ...
