"""Training crops of a parser: square crops of persons with their label maps."""

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
from dag.parsing.label_maps import LabelMaps
from dag.parsing.labels import left_right_swap, translation
from dag.stage import progress

CONTEXT = 1.3
"""Side of a crop over the longer side of the bounding box: `dag.parsing.network_parser.CONTEXT` on both sides."""

MIN_FRACTION = 0.01
"""Minimum size of a connected component, as a fraction of the image's pixels."""

ROTATION, SCALE, SHIFT = 15.0, 0.25, 0.08
"""Standard deviation in degrees; maximum relative change of scale; maximum shift as a fraction of the side."""


class PartCrops(Dataset):
    """Square crops around the connected components of label maps.

    A sample is a dict of `image` uint8 [side, side, 3] RGB, `labels` uint8 [side, side] and `key`, its index. It
    depends only on seed, `epoch` and index.

    Args:
        tables: label maps, each with the root of its images.
        split: "train" or "val".
        labels: label set that all maps are translated to.
        side: side of the crops in pixels.
        augment: whether crops are rotated, scaled, shifted and flipped (training).
        seed: of the augmentation.

    Raises:
        UserError: there is no person in the split, or a label outside its label set.
    """

    def __init__(
        self,
        tables: Sequence[tuple[LabelMaps, str | Path]],
        split: str,
        labels: tuple[str, ...],
        side: int,
        *,
        augment: bool,
        seed: int,
    ):
        self.tables, self.side, self.augment, self.seed = tables, side, augment, seed
        self.translations = [translation(table.labels, labels) for table, _ in tables]
        self.swap = left_right_swap(labels)
        self.epoch = 0
        self.windows = [
            (number, row, window) for number, (table, _) in enumerate(tables) for row, window in _windows(table, split)
        ]
        if not self.windows:
            where = ", ".join(str(table.path) for table, _ in tables)
            raise UserError("no persons in the label maps", where=where, expected=f"some in split {split}", got=0)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        number, row, window = self.windows[index]
        table, root = self.tables[number]
        label_map = table[row]
        image, image_labels = read_image(root, label_map.image_path), self.translations[number][label_map.decode()]
        affine, flipped = self._affine(window, np.random.default_rng((self.seed, self.epoch, index)))
        image = cv2.warpAffine(image, affine, (self.side, self.side))
        labels: Any = cv2.warpAffine(image_labels, affine, (self.side, self.side), flags=cv2.INTER_NEAREST)
        return {"image": image, "labels": self.swap[labels] if flipped else labels, "key": index}

    def _affine(
        self, window: Float[np.ndarray, "4"], rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, "2 3"], bool]:
        """The matrix from the image to the crop, and whether it contains a horizontal flip."""
        center, side = window[:2] + window[2:] / 2, CONTEXT * window[2:].max()
        if not self.augment:
            return input_from_image(center, np.array([side, side]), (self.side, self.side)), False
        angle, (scale, x, y), flipped = rng.normal(), rng.uniform(-1, 1, 3), rng.random() < 0.5
        center = center + SHIFT * side * np.array([x, y])
        side = side * (1 + SCALE * scale)
        rotation = ROTATION * float(np.clip(angle, -2, 2))
        affine = input_from_image(center, np.array([side, side]), (self.side, self.side), rotation)
        return (compose(mirror(self.side), affine), True) if flipped else (affine, False)


def _windows(table: LabelMaps, split: str) -> list[tuple[int, Float[np.ndarray, "4"]]]:
    """Row and bounding box of each person of a split."""
    windows = []
    for row, label_map in enumerate(progress(table, f"persons of {table.dataset}", total=len(table))):
        if label_map.split != split:
            continue
        labels = label_map.decode()
        if labels.max() >= len(table.labels):
            expected = f"numbers below {len(table.labels)}"
            where = f"{table.path}: {label_map.image_path}"
            raise UserError("label outside the label set", where=where, expected=expected, got=int(labels.max()))
        windows += [(row, box) for box in person_boxes(labels)]
    return windows


def person_boxes(labels: UInt8[np.ndarray, "H W"]) -> list[Float[np.ndarray, "4"]]:
    """Bounding boxes (x, y, width, height in pixels) of the foreground's connected components, without small ones."""
    count, _, stats, _ = cv2.connectedComponentsWithStats((labels > 0).astype(np.uint8), connectivity=8)
    large = [number for number in range(1, count) if stats[number, cv2.CC_STAT_AREA] >= MIN_FRACTION * labels.size]
    return [stats[number, :4].astype(float) for number in large]
