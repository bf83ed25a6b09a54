"""Where persons are in an image: annotated masks, boxes, and the part maps of a human parser.

A window is left, top, width, height in whole pixels of the image. It may reach beyond the image, where no person is.
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
    """Decode the annotated mask in a window, by default the whole image; None for annotations without a mask."""
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
    """The smallest window that holds the annotated mask; None for annotations without a mask or with an empty one."""
    if person.segmentation is None:
        return None
    left, top, width, height = pycocotools.mask.toBbox(_rle(person)).astype(int).tolist()
    return (left, top, width, height) if width and height else None


def mask_area(person: PersonAnnotation) -> int:
    """Number of pixels of the annotated mask; 0 for annotations without a mask."""
    return 0 if person.segmentation is None else int(pycocotools.mask.area(_rle(person)))


def union_of_masks(people: Sequence[PersonAnnotation], window: Window) -> Bool[np.ndarray, "h w"]:
    """Union of the annotated masks of `people` in a window."""
    union = np.zeros((window[3], window[2]), dtype=bool)
    for person in people:
        mask = decode_mask(person, window)
        if mask is not None:
            union |= mask
    return union


def in_box(person: PersonAnnotation, left_top: tuple[int, int], shape: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Pixels of a window that a person's box overlaps."""
    left, top, width, height = person.bbox_xywh
    x, y = np.arange(shape[1]) + left_top[0], np.arange(shape[0]) + left_top[1]
    columns = (x > left - 1) & (x < left + width + 1)
    rows = (y > top - 1) & (y < top + height + 1)
    return rows[:, None] & columns


def _rle(person: PersonAnnotation) -> Any:
    return {"size": [person.image_height, person.image_width], "counts": (person.segmentation or "").encode()}


@lru_cache(maxsize=16)
def _decoded(segmentation: str, height: int, width: int) -> Bool[np.ndarray, "H W"]:
    """A mask at the image's size. The neighbours of a person are decoded again for each person of an image."""
    rle: Any = {"size": [height, width], "counts": segmentation.encode()}
    mask = pycocotools.mask.decode(rle).view(bool)
    mask.flags.writeable = False
    return mask


@dataclass(frozen=True, eq=False)
class PartMap:
    """Part map of one person, returned by a human parser.

    Attributes:
        left, top: position of the map in the image, in pixels.
        parts: 0 outside the person, else 1 + the index of the part in the parser's `labels`.
        ambiguous: fraction of the person's pixels that may belong to another person; 0 without neighbours.
    """

    left: int
    top: int
    parts: UInt8[np.ndarray, "h w"]
    ambiguous: float


@runtime_checkable
class HumanParser(Protocol):
    """A human parser. To add one: a class with these two members, and a line in `dag.parsing.load.load_parser`."""

    labels: tuple[str, ...]

    def parse(
        self, image: UInt8[np.ndarray, "H W 3"], people: Sequence[PersonAnnotation], targets: Sequence[int]
    ) -> list[PartMap]:
        """Part maps of `people[target]` for each target. `image` is RGB, `people` all annotations of the image."""
        ...
