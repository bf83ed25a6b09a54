"""The data set's own instance masks as a parser, and what masks say of who is where."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pycocotools.mask
from jaxtyping import Bool, UInt8

from dag.data.parsing.base import Parsed
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


class MaskParser:
    """A person is where its annotated mask is and nobody else's; there is one part, the whole body."""

    labels: tuple[str, ...] = ("person",)

    def parse(
        self, image: UInt8[np.ndarray, "H W 3"], people: Sequence[Person], targets: Sequence[int]
    ) -> list[Parsed]:
        """Part maps of the photograph's size; nothing but 0 for a person without mask."""
        return [_parse(image, people, target) for target in targets]


def _parse(image: UInt8[np.ndarray, "H W 3"], people: Sequence[Person], target: int) -> Parsed:
    mask = decode_mask(people[target])
    if mask is None:
        return Parsed(0, 0, np.zeros(image.shape[:2], dtype=np.uint8), 0.0)
    others = [person for number, person in enumerate(people) if number != target]
    overlap = mask & union_of_masks(others, *image.shape[:2])
    return Parsed(0, 0, (mask & ~overlap).astype(np.uint8), float(overlap.sum() / max(mask.sum(), 1)))
