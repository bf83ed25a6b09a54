"""A picture of what a parser finds, for a person to judge: image, ground truth and prediction side by side."""

from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from torch.utils.data import default_collate

from dag.parsing.ce2p import Ce2p
from dag.parsing.training.crops import PartCrops
from dag.parsing.training.module import predicted
from dag.sheets.drawing import write_sheet

PEOPLE = 30
COLUMNS = 5


def write_parser_sheet(path: str | Path, network: Ce2p, crops: PartCrops, labels: tuple[str, ...]) -> None:
    """Draw people spread evenly over `crops`, then a legend of the labels' colours."""
    chosen = np.unique(np.linspace(0, len(crops) - 1, min(PEOPLE, len(crops))).round().astype(int))
    batch = default_collate([crops[int(index)] for index in chosen])
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        found = predicted(network, {name: value.to(device) for name, value in batch.items()}).cpu().numpy()
    colours = palette(len(labels))
    strips = [
        np.hstack([image, colours[gt], colours[guess]])
        for image, gt, guess in zip(batch["image"].numpy(), batch["labels"].numpy(), found)
    ]
    height, width = strips[0].shape[:2]
    per_tile = height // 18
    names = [labels[start : start + per_tile] for start in range(0, len(labels), per_tile)]
    legend = [_legend(part, colours[number * per_tile :], width, height) for number, part in enumerate(names)]
    bordered = [cv2.copyMakeBorder(tile, 1, 1, 1, 1, cv2.BORDER_CONSTANT) for tile in (*strips, *legend)]
    write_sheet(path, bordered, columns=COLUMNS)


def palette(labels: int) -> UInt8[np.ndarray, "L 3"]:
    """RGB colours far from each other; black for the background."""
    hues = np.arange(labels - 1) * 180 // max(labels - 1, 1)
    light = np.where(np.arange(labels - 1) % 2, 150, 255)
    hsv = np.stack([hues, np.full(labels - 1, 220), light], -1).astype(np.uint8)[None]
    return np.concatenate([np.zeros((1, 3), np.uint8), cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0]])


def _legend(
    names: tuple[str, ...], colours: UInt8[np.ndarray, "L 3"], width: int, height: int
) -> UInt8[np.ndarray, "H W 3"]:
    tile = np.full((height, width, 3), 255, np.uint8)
    for number, name in enumerate(names):
        cv2.rectangle(tile, (4, 18 * number + 3), (20, 18 * number + 15), colours[number].tolist(), -1)
        cv2.putText(tile, name, (26, 18 * number + 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return tile
