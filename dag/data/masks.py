"""What annotated masks and boxes say of who is where on a photograph."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pycocotools.mask
from jaxtyping import Bool

from dag.person import Person


def decode_mask(person: Person) -> Bool[np.ndarray, "H W"] | None:
    """The annotated mask at the photograph's size; None where the row has none."""
    if person.segmentation is None:
        return None
    runs: Any = {"size": [person.image_height, person.image_width], "counts": person.segmentation.encode()}
    return pycocotools.mask.decode(runs).astype(bool)


def union_of_masks(people: Sequence[Person], height: int, width: int) -> Bool[np.ndarray, "H W"]:
    """Where any annotated mask of `people` is."""
    union = np.zeros((height, width), dtype=bool)
    for person in people:
        mask = decode_mask(person)
        if mask is not None:
            union |= mask
    return union


def in_box(person: Person, left_top: tuple[int, int], shape: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Pixels of a window that a person's box touches."""
    left, top, width, height = person.bbox_xywh
    x, y = np.arange(shape[1]) + left_top[0], np.arange(shape[0]) + left_top[1]
    columns = (x > left - 1) & (x < left + width + 1)
    rows = (y > top - 1) & (y < top + height + 1)
    return rows[:, None] & columns
