"""What every human parser gives, and the three lines that it is asked with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from dag.person import Person


@dataclass(frozen=True, eq=False)
class Parsed:
    """One person's part map.

    Attributes:
        left, top: where it lies on the photograph, in pixels.
        parts: 0 where this person is not, else 1 + the number of the part in the parser's `labels`.
        contested: share of the person's pixels that may as well belong to somebody else; 0 where nobody is near.
    """

    left: int
    top: int
    parts: UInt8[np.ndarray, "h w"]
    contested: float


@runtime_checkable
class Parser(Protocol):
    """A human parser. To add one: a class with these two members, and a line in `load_parser`."""

    labels: tuple[str, ...]

    def parse(
        self, image: UInt8[np.ndarray, "H W 3"], people: Sequence[Person], targets: Sequence[int]
    ) -> list[Parsed]:
        """Part maps of `people[target]` for each target. `image` is RGB, `people` all rows of the photograph."""
        ...
