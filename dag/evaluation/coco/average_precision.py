"""Average precision and recall of keypoints: COCO's metrics (pycocotools, `COCOeval`), for any strata of persons."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from dag.annotation import PersonAnnotation
from dag.evaluation.coco.arrays import GroundTruth, Results, ground_truth_of, results_of
from dag.evaluation.coco.matching import THRESHOLDS, Matches, Pairs, match, pair_up
from dag.prediction import Prediction
from dag.skeleton import Skeleton

METRICS = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L")
"""COCO's ten keypoint metrics, in the order of pycocotools' `stats`."""

RECALLS = np.linspace(0, 1, 101)
"""Recalls at which precision is sampled."""

Metrics = dict[str, float | None]

AREAS = {"": (0.0, 1e10), "_M": (32.0**2, 96.0**2), "_L": (96.0**2, 1e10)}
"""Range of a person's area in square pixels, both ends included, by suffix of the metrics."""


@dataclass(frozen=True, eq=False)
class Curves:
    """Precision over recall in S strata and at T OKS thresholds; NaN in a stratum without persons.

    Attributes:
        precision: at `RECALLS`, non-increasing.
        recall: the maximum.
    """

    precision: Float[np.ndarray, "S T 101"]
    recall: Float[np.ndarray, "S T"]


def coco_metrics(persons: Sequence[PersonAnnotation], predictions: Sequence[Prediction], skeleton: Skeleton) -> Metrics:
    """`METRICS` of predictions against annotations; None without evaluated persons (pycocotools: -1).

    Annotations without keypoints and crowd regions are ignored, as in COCO. At most 20 predictions of an image count.
    """
    return average_precision(ground_truth_of(persons, skeleton), results_of(predictions, skeleton), skeleton)


def average_precision(gt: GroundTruth, results: Results, skeleton: Skeleton) -> Metrics:
    """`METRICS` of results against the ground truth, with the skeleton's sigmas; None without evaluated persons."""
    pairs = pair_up(gt, results, skeleton.sigma_array)
    counted, unmatched_counts = area_strata(gt, results, pairs)
    curves = curves_of(results, pairs, match(gt, pairs, counted, unmatched_counts), counted)
    metrics: Metrics = {}
    for number, stratum in enumerate(AREAS):
        metrics |= stratum_metrics(curves, number, suffix=stratum)
    return {name: metrics[name] for name in METRICS}


def concerned_results(stratum: Bool[np.ndarray, " P"], gt: GroundTruth, results: Results) -> Bool[np.ndarray, " D"]:
    """Results that count as false positives in a stratum of persons if they match no person.

    Those whose box belongs to a person of the stratum; for a detector's boxes, those in images with such a person.
    """
    by_person = np.isin(results.person_id, gt.person_id[stratum])
    by_image = np.isin(results.image_id, gt.image_id[stratum])
    return np.where(np.isin(results.person_id, gt.person_id), by_person, by_image)


def area_strata(
    gt: GroundTruth, results: Results, pairs: Pairs
) -> tuple[Bool[np.ndarray, "S P"], Bool[np.ndarray, "S R"]]:
    """Persons and results that count in each of COCO's `AREAS`; a result's area is that of its keypoints' extent."""
    width, height = (np.ptp(np.ascontiguousarray(axis), axis=1) for axis in np.moveaxis(results.keypoints_xy, -1, 0))
    extent = (width * height)[pairs.order]
    inside = [[(low <= area) & (area <= high) for low, high in AREAS.values()] for area in (gt.area, extent)]
    return np.stack(inside[0]) & gt.evaluated, np.stack(inside[1])


def curves_of(results: Results, pairs: Pairs, matches: Matches, counted: Bool[np.ndarray, "S P"]) -> Curves:
    """Precision over recall from matches (pycocotools, `COCOeval.accumulate`)."""
    order = np.argsort(-results.score[pairs.order], kind="stable")
    persons = counted.sum(1)
    shape = matches.person.shape[:2]
    precision, recall = np.full((*shape, len(RECALLS)), np.nan), np.full(shape, np.nan)
    for stratum, step in np.ndindex(shape):
        if persons[stratum] == 0:
            continue
        ranked = order[~matches.ignored[stratum, step, order]]
        correct = matches.person[stratum, step, ranked] >= 0
        true_positives = np.cumsum(correct)
        # True positives suffice: between them precision falls and recall stays.
        at = np.flatnonzero(correct)
        recalls = true_positives[at] / persons[stratum]
        best = np.maximum.accumulate((true_positives[at] / (at + 1 + np.spacing(1)))[::-1])[::-1]
        precision[stratum, step] = np.append(best, 0.0)[np.searchsorted(recalls, RECALLS)]
        recall[stratum, step] = recalls[-1] if len(at) else 0.0
    return Curves(precision, recall)


def stratum_metrics(curves: Curves, stratum: int, suffix: str = "") -> Metrics:
    """AP and AR of a stratum: mean over all thresholds, and at .5 and .75; names end in `suffix`."""
    precision, recall = curves.precision[stratum], curves.recall[stratum]
    metrics: Metrics = {}
    for name, values in (("AP", precision), ("AR", recall)):
        at = {"": values, "50": values[THRESHOLDS == 0.5], "75": values[THRESHOLDS == 0.75]}
        metrics |= {name + level + suffix: _mean(chosen) for level, chosen in at.items()}
    return metrics


def _mean(values: np.ndarray) -> float | None:
    return None if np.isnan(values).all() else float(values.mean())
