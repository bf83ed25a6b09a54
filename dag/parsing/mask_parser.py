"""Annotated instance masks as a human parser."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from dag.annotation import PersonAnnotation
from dag.masks import PartMap, decode_mask, mask_window, union_of_masks
from dag.parsing.description import ParserDescription
from dag.skeleton import Skeleton


class MaskDescription(ParserDescription):
    """Description of the data set's own instance masks: no network."""

    kind: Literal["masks"]

    def load(self, path: Path, skeleton: Skeleton) -> "MaskParser":
        return MaskParser()


class MaskParser:
    """A person is its annotated mask without the pixels of other masks; the whole body is one part."""

    labels: tuple[str, ...] = ("person",)

    def parse(
        self, image: UInt8[np.ndarray, "H W 3"], people: Sequence[PersonAnnotation], targets: Sequence[int]
    ) -> list[PartMap]:
        """Part maps of the masks' bounding rectangles; a single 0 for persons without a mask. `image` is unused."""
        return [_part_map(people, target) for target in targets]


def _part_map(people: Sequence[PersonAnnotation], target: int) -> PartMap:
    window = mask_window(people[target])
    mask = decode_mask(people[target], window) if window else None
    if window is None or mask is None:
        return PartMap(0, 0, np.zeros((1, 1), dtype=np.uint8), 0.0)
    others = union_of_masks([person for number, person in enumerate(people) if number != target], window)
    ambiguous = float((mask & others).sum() / mask.sum())
    return PartMap(window[0], window[1], (mask & ~others).astype(np.uint8), ambiguous)
