"""How well label maps are met: intersection over union of each part and of the person."""

from typing import Any

import numpy as np
from jaxtyping import Int


def confusion(gt: Int[np.ndarray, "*shape"], found: Int[np.ndarray, "*shape"], labels: int) -> Int[np.ndarray, "L L"]:
    """Pixels by true label (row) and found label (column)."""
    return np.bincount(gt.ravel() * labels + found.ravel(), minlength=labels**2).reshape(labels, labels)


def parsing_metrics(pixels: Int[np.ndarray, "L L"], labels: tuple[str, ...]) -> dict[str, Any]:
    """Metrics of a `confusion` over all pixels.

    `mIoU` is the mean over the labels that there are in ground_truth, background included; `person_IoU` is that of everything
    but the background; `accuracy` the share of pixels with the right label.
    """
    hits, true, found = np.diag(pixels), pixels.sum(1), pixels.sum(0)
    iou = {name: float(h / (t + f - h)) for name, h, t, f in zip(labels, hits, true, found) if t}
    return {
        "mIoU": float(np.mean(list(iou.values()))),
        "person_IoU": float(pixels[1:, 1:].sum() / max(pixels.sum() - pixels[0, 0], 1)),
        "accuracy": float(hits.sum() / pixels.sum()),
        "IoU": iou,
    }
