"""Bootstrap of the headline metrics over images: a resample is a weight for each image of one matching.

COCO matches within an image, so an image that is drawn twice has its matches twice, adjacent in the order of scores.
Strata are those of all persons, not of the resample.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from tqdm import tqdm

from dag.evaluation import Evaluation
from dag.evaluation.coco.arrays import GroundTruth
from dag.evaluation.coco.average_precision import AREAS, RECALLS
from dag.evaluation.coco.matching import THRESHOLDS
from dag.evaluation.diagnosis import ErrorKind
from dag.evaluation.metrics import BAND_NAMES, DIAGNOSED
from dag.evaluation.plots import OCCLUSION_LABELS

STRATA_NAMES = {**{name: f"AP_{name}" for name in OCCLUSION_LABELS}, **BAND_NAMES}
"""Strata of persons, and the metric that is the AP of each."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """Counted results of one stratum at one OKS threshold, by descending score.

    Attributes:
        image: index of each result's image among the I images.
        correct: positions in `image` of the true positives.
    """

    image: Int[np.ndarray, " n"]
    correct: Int[np.ndarray, " m"]


@dataclass(frozen=True, eq=False)
class Counts:
    """Data from which the metrics of I weighted images are computed.

    Attributes:
        rankings: by stratum, one for each of `THRESHOLDS`.
        persons: by stratum, number of evaluated persons of each image.
        ratios: by metric, its denominator and numerator in each image.
    """

    rankings: dict[str, list[Ranking]]
    persons: dict[str, Int[np.ndarray, " I"]]
    ratios: dict[str, tuple[Int[np.ndarray, " I"], Int[np.ndarray, " I"]]]

    def number(self, metric: str) -> int:
        """Number of persons or joints that a metric is computed from."""
        return int((self.ratios[metric][0] if metric in self.ratios else self.persons[_stratum(metric)]).sum())


def count(evaluation: Evaluation, image_ids: Int[np.ndarray, " I"]) -> Counts:
    """`Counts` of an evaluation.

    Args:
        image_ids: of all images, increasing; includes those of the ground truth and the results.
    """
    gt, results = evaluation.ground_truth, evaluation.results
    strata = [name for name in evaluation.strata if name in STRATA_NAMES]
    rows = [*range(len(AREAS)), *(evaluation.row(name) for name in strata)]
    names = [f"AP{suffix}" for suffix in AREAS] + [STRATA_NAMES[name] for name in strata]
    image = np.searchsorted(image_ids, results.image_id)
    return Counts(
        {name: _rankings(evaluation, image, row) for name, row in zip(names, rows)},
        {name: _per_image(gt, evaluation.counted[row], image_ids) for name, row in zip(names, rows)},
        _ratios(evaluation, image_ids),
    )


def metrics(counts: Counts, weights: Float[np.ndarray, " I"]) -> dict[str, float]:
    """Headline metrics (`dag.evaluation.metrics.headline`) of weighted images; NaN without evaluated persons."""
    values: dict[str, float] = {}
    for name, rankings in counts.rankings.items():
        steps = [_precision_recall(ranking, weights, float(counts.persons[name] @ weights)) for ranking in rankings]
        precision, recall = np.array([step[0] for step in steps]), np.array([step[1] for step in steps])
        values[name] = float(precision.mean())
        if name == "AP":
            values |= {f"AP{round(at * 100)}": float(precision[at == THRESHOLDS].mean()) for at in (0.5, 0.75)}
        if name in ("AP", "AP_M", "AP_L"):
            values[name.replace("AP", "AR")] = float(recall.mean())
    for name, (whole, part) in counts.ratios.items():
        total = whole @ weights
        values[name] = float(part @ weights / total) if total else np.nan
    return values


def resample(
    experiments: Sequence[Counts], images: int, *, resamples: int, rng: np.random.Generator
) -> list[dict[str, Float[np.ndarray, " B"]]]:
    """Metrics of B resamples of the images, the same ones for every experiment."""
    drawn: list[list[dict[str, float]]] = [[] for _ in experiments]
    for _ in tqdm(range(resamples), desc="resampling", unit="", disable=None, leave=False):
        weights = np.bincount(rng.integers(images, size=images), minlength=images).astype(float)
        for samples, counts in zip(drawn, experiments):
            samples.append(metrics(counts, weights))
    return [{name: np.array([one[name] for one in samples]) for name in samples[0]} for samples in drawn]


def interval(samples: Float[np.ndarray, " B"]) -> tuple[float, float]:
    """The central 95 % of samples; NaN is left out."""
    known = samples[~np.isnan(samples)]
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
    return float(low), float(high)


def _stratum(metric: str) -> str:
    whole = metric.replace("AR", "AP")
    return "AP" if whole in ("AP50", "AP75") else whole


def _rankings(evaluation: Evaluation, image: Int[np.ndarray, " D"], row: int) -> list[Ranking]:
    order, matches = evaluation.pairs.order, evaluation.matches
    ranked = np.argsort(-evaluation.results.score[order], kind="stable")
    rankings = []
    for person, ignored in zip(matches.person[row], matches.ignored[row]):
        counted = ranked[~ignored[ranked]]
        rankings.append(Ranking(image[order[counted]], np.flatnonzero(person[counted] >= 0)))
    return rankings


def _precision_recall(
    ranking: Ranking, weights: Float[np.ndarray, " I"], persons: float
) -> tuple[Float[np.ndarray, "101"], float]:
    """Precision at `RECALLS` and the maximum recall, as in `curves_of`."""
    if not persons:
        return np.full(len(RECALLS), np.nan), np.nan
    weight = weights[ranking.image]
    true_positives = weight[ranking.correct].cumsum()
    precision = true_positives / (weight.cumsum()[ranking.correct] + np.spacing(1))
    best = np.maximum.accumulate(precision[::-1])[::-1]
    recalls = true_positives / persons
    return np.append(best, 0.0)[np.searchsorted(recalls, RECALLS)], float(recalls[-1]) if len(recalls) else 0.0


def _per_image(
    gt: GroundTruth, mask: Bool[np.ndarray, " P"], image_ids: Int[np.ndarray, " I"]
) -> Int[np.ndarray, " I"]:
    return np.bincount(np.searchsorted(image_ids, gt.image_id[mask]), minlength=len(image_ids))


def _ratios(
    evaluation: Evaluation, image_ids: Int[np.ndarray, " I"]
) -> dict[str, tuple[Int[np.ndarray, " I"], Int[np.ndarray, " I"]]]:
    """PCK of visible and occluded joints, and ratios of the kinds of error, of persons with a result."""
    accuracy, kind = evaluation.joint_accuracy, evaluation.diagnosis.kind[evaluation.person_of >= 0]
    image = np.searchsorted(image_ids, evaluation.ground_truth.image_id[accuracy.person])

    def summed(joints: Bool[np.ndarray, "n J"]) -> Int[np.ndarray, " I"]:
        return np.bincount(np.repeat(image, joints.sum(1)), minlength=len(image_ids))

    strata = [name for name in ("visible", "occluded") if name in evaluation.joint_masks]
    masks = {name: evaluation.joint_masks[name][accuracy.person] for name in strata}
    ratios = {f"PCK_{name}": (summed(mask), summed(mask & accuracy.correct)) for name, mask in masks.items()}
    diagnosed = summed(kind >= 0)
    return ratios | {name: (diagnosed, summed(kind == ErrorKind[name.upper()])) for name in DIAGNOSED}


def all_images(evaluations: Iterable[Evaluation]) -> Int[np.ndarray, " I"]:
    """Ids of all images of evaluations, increasing."""
    ids = [ids for one in evaluations for ids in (one.ground_truth.image_ids, one.results.image_id)]
    return np.unique(np.concatenate(ids))
