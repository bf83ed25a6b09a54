"""The data set's own instance masks as a parser."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from dag.annotation import PersonAnnotation
from dag.masks import PartMap, decode_mask, mask_window, union_of_masks


class MaskParser:
    """A person is where its annotated mask is and nobody else's; there is one part, the whole body."""

    labels: tuple[str, ...] = ("person",)

    def parse(
        self, image: UInt8[np.ndarray, "H W 3"], people: Sequence[PersonAnnotation], targets: Sequence[int]
    ) -> list[PartMap]:
        """Part maps of the masks' own rectangles; a single 0 for a person without mask. `image` is not looked at."""
        return [_parse(people, target) for target in targets]


def _parse(people: Sequence[PersonAnnotation], target: int) -> PartMap:
    window = mask_window(people[target])
    mine = decode_mask(people[target], window) if window else None
    if window is None or mine is None:
        return PartMap(0, 0, np.zeros((1, 1), dtype=np.uint8), 0.0)
    theirs = union_of_masks([person for number, person in enumerate(people) if number != target], window)
    ambiguous = float((mine & theirs).sum() / mine.sum())
    return PartMap(window[0], window[1], (mine & ~theirs).astype(np.uint8), ambiguous)
