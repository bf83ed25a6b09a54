"""Average precision and recall of keypoints: COCO's metrics (pycocotools, `COCOeval`), for any strata of people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from dag.annotation import PersonAnnotation
from dag.evaluation.coco.arrays import GroundTruth, Results, ground_truth_of, results_of
from dag.evaluation.coco.matching import THRESHOLDS, Matches, Pairs, match, pair_up
from dag.prediction import Prediction
from dag.skeleton import Skeleton

METRICS = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L")
"""In the order of pycocotools' `stats`."""

RECALLS = np.linspace(0, 1, 101)
"""Where precision is read off."""

Metrics = dict[str, float | None]

AREAS = {"": (0.0, 1e10), "_M": (32.0**2, 96.0**2), "_L": (96.0**2, 1e10)}
"""Square pixels, both ends included."""


@dataclass(frozen=True, eq=False)
class Curves:
    """Precision and recall in S strata and at T thresholds.

    Attributes:
        precision: at `RECALLS`, never rising; NaN in a stratum without people.
        recall: the highest; NaN as well.
    """

    precision: Float[np.ndarray, "S T 101"]
    recall: Float[np.ndarray, "S T"]


def coco_metrics(persons: Sequence[PersonAnnotation], predictions: Sequence[Prediction], skeleton: Skeleton) -> Metrics:
    """COCO metrics of predictions against rows; None where there is nobody to find (pycocotools' -1).

    Rows without keypoints and crowds are ignored as COCO ignores them. At most 20 predictions of an image count.
    """
    return average_precision(ground_truth_of(persons, skeleton), results_of(predictions, skeleton), skeleton)


def average_precision(gt: GroundTruth, results: Results, skeleton: Skeleton) -> Metrics:
    """`METRICS` of results against the ground_truth, with the skeleton's sigmas; None where there is nobody to find."""
    pairs = pair_up(gt, results, skeleton.sigma_array)
    counted, unmatched_counts = area_strata(gt, results, pairs)
    curves = curves_of(results, pairs, match(gt, pairs, counted, unmatched_counts), counted)
    metrics: Metrics = {}
    for number, stratum in enumerate(AREAS):
        metrics |= stratum_metrics(curves, number, suffix=stratum)
    return {name: metrics[name] for name in METRICS}


def strata_precision(
    gt: GroundTruth, results: Results, skeleton: Skeleton, strata: Mapping[str, Bool[np.ndarray, " P"]]
) -> dict[str, dict[str, float | int | None]]:
    """AP, AP50, AP75, AR and number of `people` of each stratum of people.

    Instances of other strata are ignored, and so is what matches them. A result that matches nobody is wrong in the
    stratum of the person in whose box it was sought; where that is not known, in those that somebody of its image
    is in.
    """
    if not strata:
        return {}
    pairs = pair_up(gt, results, skeleton.sigma_array)
    counted = np.stack([mask & gt.wanted for mask in strata.values()])
    unmatched_counts = np.stack([concerns(mask, gt, results)[pairs.order] for mask in strata.values()])
    curves = curves_of(results, pairs, match(gt, pairs, counted, unmatched_counts), counted)
    names = ("AP", "AP50", "AP75", "AR")
    metrics = [stratum_metrics(curves, number) for number in range(len(strata))]
    return {
        stratum: {"instances": int(counted[number].sum()), **{name: metrics[number][name] for name in names}}
        for number, stratum in enumerate(strata)
    }


def concerns(stratum: Bool[np.ndarray, " P"], gt: GroundTruth, results: Results) -> Bool[np.ndarray, " D"]:
    by_person = np.isin(results.person_id, gt.person_id[stratum])
    by_image = np.isin(results.image_id, gt.image_id[stratum])
    return np.where(np.isin(results.person_id, gt.person_id), by_person, by_image)


def area_strata(
    gt: GroundTruth, results: Results, pairs: Pairs
) -> tuple[Bool[np.ndarray, "S P"], Bool[np.ndarray, "S R"]]:
    """COCO's `AREAS`: who is counted, and which unmatched results are: those whose joints span such an area."""
    width, height = (np.ptp(np.ascontiguousarray(axis), axis=1) for axis in np.moveaxis(results.keypoints_xy, -1, 0))
    spans = (width * height)[pairs.order]
    inside = [[(low <= area) & (area <= high) for low, high in AREAS.values()] for area in (gt.area, spans)]
    return np.stack(inside[0]) & gt.wanted, np.stack(inside[1])


def curves_of(results: Results, pairs: Pairs, matches: Matches, counted: Bool[np.ndarray, "S P"]) -> Curves:
    """Precision over recall from matches (pycocotools, `COCOeval.accumulate`)."""
    order = np.argsort(-results.score[pairs.order], kind="stable")
    people = counted.sum(1)
    shape = matches.person.shape[:2]
    precision, recall = np.full((*shape, len(RECALLS)), np.nan), np.full(shape, np.nan)
    for stratum, step in np.ndindex(shape):
        if people[stratum] == 0:
            continue
        asked = order[~matches.ignored[stratum, step, order]]
        right = matches.person[stratum, step, asked] >= 0
        found = np.cumsum(right)
        # Read off at right results only: between them precision falls and recall stays.
        at = np.flatnonzero(right)
        rising = found[at] / people[stratum]
        best = np.maximum.accumulate((found[at] / (at + 1 + np.spacing(1)))[::-1])[::-1]
        place = np.searchsorted(rising, RECALLS)
        precision[stratum, step] = np.append(best, 0.0)[place]
        recall[stratum, step] = rising[-1] if len(at) else 0.0
    return Curves(precision, recall)


def stratum_metrics(curves: Curves, stratum: int, suffix: str = "") -> Metrics:
    """AP and AR of a stratum, over all thresholds and at .5 and .75; names end in `suffix`."""
    precision, recall = curves.precision[stratum], curves.recall[stratum]
    metrics: Metrics = {}
    for name, values in (("AP", precision), ("AR", recall)):
        at = {"": values, "50": values[THRESHOLDS == 0.5], "75": values[THRESHOLDS == 0.75]}
        metrics |= {name + level + suffix: _mean(chosen) for level, chosen in at.items()}
    return metrics


def _mean(values: np.ndarray) -> float | None:
    return None if np.isnan(values).all() else float(values.mean())
