"""Crops round people of label maps: what the parser is asked about later, with its ground truth."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from torch.utils.data import Dataset

from dag.errors import UserError
from dag.geometry import compose, input_from_image, mirror
from dag.image import read_image
from dag.parsing.labels import mirrored, translation
from dag.parsing.label_maps import Parts
from dag.stage import progress

CONTEXT = 1.3
"""Side of the square round a person over the longer side of its box, as `dag.parsing.network_parser.CONTEXT` gives it."""

MIN_FRACTION = 0.01
"""Of the image's pixels; smaller pieces are not asked about."""

TURN, SCALE, SHIFT = 15.0, 0.25, 0.08
"""Degrees (standard deviation), largest change of scale, and of place in sides of the square."""


class PartCrops(Dataset):
    """Square crops round the connected pieces of label maps; `epoch` and index alone decide what a sample is.

    Args:
        tables: label maps, each with the root of its images.
        split: "train" or "val".
        labels: the set that all maps are brought to.
        side: of the crop in pixels.
        augment: turned, scaled, shifted and mirrored (training), or as it is.
        seed: of all randomness.

    A sample is a dict of `image` uint8 [side, side, 3] RGB, `labels` uint8 [side, side] and `key`, a number of its own.

    Raises:
        UserError: nobody in the split, or a label map with numbers outside its set.
    """

    def __init__(
        self,
        tables: Sequence[tuple[Parts, str | Path]],
        split: str,
        labels: tuple[str, ...],
        side: int,
        *,
        augment: bool,
        seed: int,
    ):
        self.tables, self.side, self.augment, self.seed = tables, side, augment, seed
        self.translations = [translation(table.labels, labels) for table, _ in tables]
        self.mirrored = mirrored(labels)
        self.epoch = 0
        self.windows = [
            (number, row, window) for number, (table, _) in enumerate(tables) for row, window in _windows(table, split)
        ]
        if not self.windows:
            where = ", ".join(str(table.path) for table, _ in tables)
            raise UserError("nobody to parse", where=where, expected=f"label maps of the split {split}", got=0)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        number, row, window = self.windows[index]
        table, root = self.tables[number]
        entry = table[row]
        image, whole = read_image(root, entry.image_path), self.translations[number][entry.decode()]
        affine, flipped = self._affine(window, np.random.default_rng((self.seed, self.epoch, index)))
        image = cv2.warpAffine(image, affine, (self.side, self.side))
        labels: Any = cv2.warpAffine(whole, affine, (self.side, self.side), flags=cv2.INTER_NEAREST)
        return {"image": image, "labels": self.mirrored[labels] if flipped else labels, "key": index}

    def _affine(
        self, window: Float[np.ndarray, "4"], rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, "2 3"], bool]:
        center, side = window[:2] + window[2:] / 2, CONTEXT * window[2:].max()
        if not self.augment:
            return input_from_image(center, np.array([side, side]), (self.side, self.side)), False
        turn, (scale, x, y), flipped = rng.normal(), rng.uniform(-1, 1, 3), rng.random() < 0.5
        center = center + SHIFT * side * np.array([x, y])
        side = side * (1 + SCALE * scale)
        rotation = TURN * float(np.clip(turn, -2, 2))
        affine = input_from_image(center, np.array([side, side]), (self.side, self.side), rotation)
        return (compose(mirror(self.side), affine), True) if flipped else (affine, False)


def _windows(table: Parts, split: str) -> list[tuple[int, Float[np.ndarray, "4"]]]:
    found = []
    for row, entry in enumerate(progress(table, f"people of {table.dataset}", total=len(table))):
        if entry.split != split:
            continue
        labels = entry.decode()
        if labels.max() >= len(table.labels):
            expected = f"numbers below {len(table.labels)}"
            where = f"{table.path}: {entry.image_path}"
            raise UserError("label outside the set", where=where, expected=expected, got=int(labels.max()))
        found += [(row, box) for box in person_boxes(labels)]
    return found


def person_boxes(labels: UInt8[np.ndarray, "H W"]) -> list[Float[np.ndarray, "4"]]:
    """Boxes (x, y, width, height in pixels) of the connected pieces that are not background, small ones left out."""
    count, _, stats, _ = cv2.connectedComponentsWithStats((labels > 0).astype(np.uint8), connectivity=8)
    large = [number for number in range(1, count) if stats[number, cv2.CC_STAT_AREA] >= MIN_FRACTION * labels.size]
    return [stats[number, :4].astype(float) for number in large]
