"""Metrics of human parsing: intersection over union of parts and of the person."""

from typing import Any

import numpy as np
from jaxtyping import Int


def confusion_matrix(
    gt: Int[np.ndarray, "*shape"], predicted: Int[np.ndarray, "*shape"], labels: int
) -> Int[np.ndarray, "L L"]:
    """Number of pixels by ground-truth label (row) and predicted label (column)."""
    return np.bincount(gt.ravel() * labels + predicted.ravel(), minlength=labels**2).reshape(labels, labels)


def parsing_metrics(pixels: Int[np.ndarray, "L L"], labels: tuple[str, ...]) -> dict[str, Any]:
    """Metrics of a `confusion_matrix` over all pixels.

    `IoU` has the labels that occur in the ground truth, background included, and `mIoU` is their mean. `person_IoU` is
    the IoU of all labels except the background, taken as one. `accuracy` is the fraction of correct pixels.
    """
    correct, gt, predicted = np.diag(pixels), pixels.sum(1), pixels.sum(0)
    iou = {name: float(c / (g + p - c)) for name, c, g, p in zip(labels, correct, gt, predicted) if g}
    return {
        "mIoU": float(np.mean(list(iou.values()))),
        "person_IoU": float(pixels[1:, 1:].sum() / max(pixels.sum() - pixels[0, 0], 1)),
        "accuracy": float(correct.sum() / pixels.sum()),
        "IoU": iou,
    }
