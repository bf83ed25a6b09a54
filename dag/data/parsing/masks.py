"""The data set's own instance masks as a parser."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from dag.data.masks import decode_mask, union_of_masks
from dag.data.parsing.base import Parsed
from dag.person import Person


class MaskParser:
    """A person is where its annotated mask is and nobody else's; there is one part, the whole body."""

    labels: tuple[str, ...] = ("person",)

    def parse(
        self, image: UInt8[np.ndarray, "H W 3"], people: Sequence[Person], targets: Sequence[int]
    ) -> list[Parsed]:
        """Part maps of the masks' own rectangles; a single 0 for a person without mask. `image` is not looked at."""
        return [_parse(people, target) for target in targets]


def _parse(people: Sequence[Person], target: int) -> Parsed:
    mask = decode_mask(people[target])
    if mask is None or not mask.any():
        return Parsed(0, 0, np.zeros((1, 1), dtype=np.uint8), 0.0)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    others = [person for number, person in enumerate(people) if number != target]
    mine, theirs = mask[window], union_of_masks(others, *mask.shape)[window]
    contested = float((mine & theirs).sum() / mine.sum())
    return Parsed(int(columns[0]), int(rows[0]), (mine & ~theirs).astype(np.uint8), contested)
