"""Evaluation of keypoints: `evaluate_keypoints` for COCO files of any origin, `Evaluation` for everything else."""

from pathlib import Path
from typing import Any

from dag.evaluation.evaluation import PROTOCOLS, Evaluation
from dag.evaluation.metrics import all_metrics, flat
from dag.skeleton import Skeleton

__all__ = ["PROTOCOLS", "Evaluation", "evaluate_keypoints"]


def evaluate_keypoints(
    ground_truth: str | Path | dict[str, Any],
    results: str | Path | list[dict[str, Any]],
    protocol: str = "coco",
    skeleton: Skeleton | None = None,
) -> dict[str, float | int | None]:
    """Compute every metric of docs/metrics.md of COCO results against COCO annotations.

    Arguments as `Evaluation.from_coco`. Crowd strata need images with `crowdIndex`, MaxIoU strata need annotations with
    `max_iou`.

    Returns:
        `AP AP50 AP75 AP_M AP_L AR AR50 AR75 AR_M AR_L` first: None without evaluated persons, 0 without predictions;
        then the rest of `all_metrics` by dotted names.

    Raises:
        UserError: unknown protocol, or invalid files.
    """
    return flat(all_metrics(Evaluation.from_coco(ground_truth, results, protocol, skeleton)))
