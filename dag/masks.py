"""What annotated masks and boxes say of who is where on an image.

A window is left, top, width, height in whole pixels of the image. It may leave the image: nobody is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from dag.annotation import PersonAnnotation
from dag.convert.segmentation import decode_counts

Window = tuple[int, int, int, int]


def decode_mask(person: PersonAnnotation, window: Window | None = None) -> Bool[np.ndarray, "h w"] | None:
    """The annotated mask in a window, by default on the whole image; None where the row has none.

    Costs what the window's columns cost, not what the image costs.
    """
    if person.segmentation is None:
        return None
    image_height, image_width = person.image_height, person.image_width
    left, top, width, height = window or (0, 0, image_width, image_height)
    first, last = max(left, 0), min(left + width, image_width)
    upper, lower = max(top, 0), min(top + height, image_height)
    mask = np.zeros((height, width), dtype=bool)
    edges = _edges(person.segmentation)
    begin, end = np.searchsorted(edges, (first * image_height, last * image_height), side="right")
    if first < last and upper < lower and (begin < end or begin % 2):
        borders = np.concatenate([[first * image_height], edges[begin:end], [last * image_height]])
        inside = np.arange(begin, end + 1) % 2 == 1
        columns = np.repeat(inside, np.diff(borders)).reshape(last - first, image_height).T
        mask[upper - top : lower - top, first - left : last - left] = columns[upper:lower]
    return mask


def mask_window(person: PersonAnnotation) -> Window | None:
    """The smallest window that holds the annotated mask; None where the row has none or it is empty."""
    edges = _edges(person.segmentation or "")
    starts, ends = edges[:-1:2], edges[1::2]
    starts, ends = starts[starts < ends], ends[starts < ends]
    if not len(starts):
        return None
    left, right = starts[0] // person.image_height, (ends[-1] - 1) // person.image_height
    top, bottom = starts % person.image_height, (ends - 1) % person.image_height
    turns = (top > bottom) | (ends - starts >= person.image_height)
    upper, lower = np.where(turns, 0, top).min(), np.where(turns, person.image_height - 1, bottom).max()
    return int(left), int(upper), int(right - left + 1), int(lower - upper + 1)


def mask_area(person: PersonAnnotation) -> int:
    """Number of pixels of the annotated mask; 0 where the row has none."""
    edges = _edges(person.segmentation or "")
    return int((edges[1::2] - edges[:-1:2]).sum())


def union_of_masks(people: Sequence[PersonAnnotation], window: Window) -> Bool[np.ndarray, "h w"]:
    """Where any annotated mask of `people` is, in a window."""
    union = np.zeros((window[3], window[2]), dtype=bool)
    for person in people:
        mask = decode_mask(person, window)
        if mask is not None:
            union |= mask
    return union


def in_box(person: PersonAnnotation, left_top: tuple[int, int], shape: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Pixels of a window that a person's box touches."""
    left, top, width, height = person.bbox_xywh
    x, y = np.arange(shape[1]) + left_top[0], np.arange(shape[0]) + left_top[1]
    columns = (x > left - 1) & (x < left + width + 1)
    rows = (y > top - 1) & (y < top + height + 1)
    return rows[:, None] & columns


@lru_cache(maxsize=128)
def _edges(segmentation: str) -> Int64[np.ndarray, " E"]:
    """Where a mask begins and ends, in turns: numbers of pixels column by column. Neighbours ask for it again.

    The last edge, where the last run outside would begin after the last pixel, is there or not: look at pairs only.
    """
    if not segmentation:
        return np.zeros(0, dtype=np.int64)
    edges = decode_counts(segmentation).cumsum()
    edges.flags.writeable = False
    return edges


@dataclass(frozen=True, eq=False)
class PartMap:
    """One person's part map.

    Attributes:
        left, top: where it lies on the image, in pixels.
        parts: 0 where this person is not, else 1 + the number of the part in the parser's `labels`.
        ambiguous: share of the person's pixels that may as well belong to somebody else; 0 where nobody is near.
    """

    left: int
    top: int
    parts: UInt8[np.ndarray, "h w"]
    ambiguous: float


@runtime_checkable
class HumanParser(Protocol):
    """A human parser. To add one: a class with these two members, and a line in `load_parser`."""

    labels: tuple[str, ...]

    def parse(
        self, image: UInt8[np.ndarray, "H W 3"], people: Sequence[PersonAnnotation], targets: Sequence[int]
    ) -> list[PartMap]:
        """Part maps of `people[target]` for each target. `image` is RGB, `people` all rows of the image."""
        ...
