"""Contact sheet of a parser's predictions: image, ground truth and prediction side by side."""

from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from torch.utils.data import default_collate

from dag.parsing.ce2p import Ce2p
from dag.parsing.training.crops import PartCrops
from dag.parsing.training.module import predict_labels
from dag.sheets.drawing import write_sheet

CROPS = 30
COLUMNS = 5
LINE_HEIGHT = 18
"""Of the legend, in pixels."""


def write_parser_sheet(path: str | Path, network: Ce2p, crops: PartCrops, labels: tuple[str, ...]) -> None:
    """Draw crops at even intervals of `crops`, and a legend of the labels' colours."""
    chosen = np.unique(np.linspace(0, len(crops) - 1, min(CROPS, len(crops))).round().astype(int))
    batch = default_collate([crops[int(index)] for index in chosen])
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        predicted = predict_labels(network, {name: value.to(device) for name, value in batch.items()}).cpu().numpy()
    colours = palette(len(labels))
    strips = [
        np.hstack([image, colours[gt_labels], colours[predicted_labels]])
        for image, gt_labels, predicted_labels in zip(batch["image"].numpy(), batch["labels"].numpy(), predicted)
    ]
    height, width = strips[0].shape[:2]
    per_tile = height // LINE_HEIGHT
    names = [labels[start : start + per_tile] for start in range(0, len(labels), per_tile)]
    legend = [_legend(part, colours[number * per_tile :], width, height) for number, part in enumerate(names)]
    bordered = [cv2.copyMakeBorder(tile, 1, 1, 1, 1, cv2.BORDER_CONSTANT) for tile in (*strips, *legend)]
    write_sheet(path, bordered, columns=COLUMNS)


def palette(labels: int) -> UInt8[np.ndarray, "L 3"]:
    """Distinct RGB colours of the labels; black for the background."""
    hues = np.arange(labels - 1) * 180 // max(labels - 1, 1)
    light = np.where(np.arange(labels - 1) % 2, 150, 255)
    hsv = np.stack([hues, np.full(labels - 1, 220), light], -1).astype(np.uint8)[None]
    return np.concatenate([np.zeros((1, 3), np.uint8), cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0]])


def _legend(
    names: tuple[str, ...], colours: UInt8[np.ndarray, "L 3"], width: int, height: int
) -> UInt8[np.ndarray, "H W 3"]:
    """A tile with one coloured rectangle and name per line."""
    tile = np.full((height, width, 3), 255, np.uint8)
    for number, name in enumerate(names):
        top = LINE_HEIGHT * number
        cv2.rectangle(tile, (4, top + 3), (20, top + 15), colours[number].tolist(), -1)
        cv2.putText(tile, name, (26, top + 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return tile
