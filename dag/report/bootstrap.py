"""Headline metrics of resampled images (Efron's bootstrap), from one matching: an image has a weight.

COCO matches within an image, so an image that is drawn twice has its matches twice, side by side in the order
of scores. Strata stay what they are of all people.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from tqdm import tqdm

from dag.evaluation.coco.arrays import GroundTruth, Results
from dag.evaluation.coco.average_precision import AREAS, RECALLS, area_strata, concerns
from dag.evaluation.coco.matching import THRESHOLDS, Matches, Pairs, match, pair_up, persons_of_results
from dag.evaluation.diagnosis import ErrorKind, diagnose
from dag.evaluation.metrics import BAND_NAMES, DIAGNOSED
from dag.evaluation.plots import OCCLUSION_RATIOS
from dag.evaluation.strata import PCK_FRACTION, joint_masks, person_strata
from dag.skeleton import Skeleton

STRATA_NAMES = {**{name: f"AP_{name}" for name in OCCLUSION_RATIOS}, **BAND_NAMES}
"""Strata of people and the figure that is their AP."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """The results that count in one stratum at one threshold, by falling score.

    Attributes:
        image: of each, its place among I images.
        right: places in `image` of those that are right.
    """

    image: Int[np.ndarray, " n"]
    right: Int[np.ndarray, " m"]


@dataclass(frozen=True, eq=False)
class Counts:
    """All that metrics of I weighted images need.

    Attributes:
        rankings: by stratum, one for each of `THRESHOLDS`.
        people: by stratum, how many of each image are looked for.
        shares: by figure, of how many things in each image it is the share, and how many have it.
    """

    rankings: dict[str, list[Ranking]]
    people: dict[str, Int[np.ndarray, " I"]]
    shares: dict[str, tuple[Int[np.ndarray, " I"], Int[np.ndarray, " I"]]]

    def number(self, figure: str) -> int:
        """Of how many people, or joints, a figure is."""
        return int((self.shares[figure][0] if figure in self.shares else self.people[_stratum(figure)]).sum())


def count(gt: GroundTruth, results: Results, skeleton: Skeleton, image_ids: Int[np.ndarray, " I"]) -> Counts:
    """Match once, and keep what resampling needs.

    Args:
        image_ids: of all images, rising; those of the ground truth and the results among them.
    """
    pairs = pair_up(gt, results, skeleton.sigma_array)
    people = {name: mask for name, mask in person_strata(gt).items() if name in STRATA_NAMES}
    counted, unmatched_counts = area_strata(gt, results, pairs)
    concerned = [concerns(mask, gt, results)[pairs.order] for mask in people.values()]
    counted = np.concatenate([counted, np.array(list(people.values())).reshape(-1, len(gt))])
    unmatched_counts = np.concatenate([unmatched_counts, np.array(concerned).reshape(-1, len(pairs.order))])
    matches = match(gt, pairs, counted, unmatched_counts)
    names = [f"AP{suffix}" for suffix in AREAS] + [STRATA_NAMES[name] for name in people]
    image = np.searchsorted(image_ids, results.image_id)
    return Counts(
        {name: _rankings(results, pairs, matches, image, number) for number, name in enumerate(names)},
        {name: _per_image(gt, mask, image_ids) for name, mask in zip(names, counted)},
        _shares(gt, results, skeleton, image_ids),
    )


def metrics(counts: Counts, weights: Float[np.ndarray, " I"]) -> dict[str, float]:
    """Headline metrics where each image counts as often as its weight says; NaN where there is nobody."""
    found: dict[str, float] = {}
    for name, rankings in counts.rankings.items():
        steps = [_precision_recall(ranking, weights, float(counts.people[name] @ weights)) for ranking in rankings]
        precision, recall = np.array([step[0] for step in steps]), np.array([step[1] for step in steps])
        found[name] = float(precision.mean())
        if name == "AP":
            found |= {f"AP{round(at * 100)}": float(precision[at == THRESHOLDS].mean()) for at in (0.5, 0.75)}
        if name in ("AP", "AP_M", "AP_L"):
            found[name.replace("AP", "AR")] = float(recall.mean())
    for name, (whole, part) in counts.shares.items():
        total = whole @ weights
        found[name] = float(part @ weights / total) if total else np.nan
    return found


def resample(
    experiments: Sequence[Counts], images: int, *, resamples: int, rng: np.random.Generator
) -> list[dict[str, Float[np.ndarray, " B"]]]:
    """Metrics of B resamples of the images, the same ones for every experiment."""
    drawn: list[list[dict[str, float]]] = [[] for _ in experiments]
    for _ in tqdm(range(resamples), desc="resampling", unit="", disable=None, leave=False):
        weights = np.bincount(rng.integers(images, size=images), minlength=images).astype(float)
        for found, counts in zip(drawn, experiments):
            found.append(metrics(counts, weights))
    return [{name: np.array([one[name] for one in found]) for name in found[0]} for found in drawn]


def interval(samples: Float[np.ndarray, " B"]) -> tuple[float, float]:
    """The middle 95 % of samples; those without a value do not count."""
    known = samples[~np.isnan(samples)]
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
    return float(low), float(high)


def _stratum(figure: str) -> str:
    whole = figure.replace("AR", "AP")
    return "AP" if whole in ("AP50", "AP75") else whole


def _rankings(
    results: Results, pairs: Pairs, matches: Matches, image: Int[np.ndarray, " D"], stratum: int
) -> list[Ranking]:
    order = np.argsort(-results.score[pairs.order], kind="stable")
    rankings = []
    for person, ignored in zip(matches.person[stratum], matches.ignored[stratum]):
        asked = order[~ignored[order]]
        rankings.append(Ranking(image[pairs.order[asked]], np.flatnonzero(person[asked] >= 0)))
    return rankings


def _precision_recall(
    ranking: Ranking, weights: Float[np.ndarray, " I"], people: float
) -> tuple[Float[np.ndarray, "101"], float]:
    """As `curves_of`: precision at `RECALLS` and the highest recall."""
    if not people:
        return np.full(len(RECALLS), np.nan), np.nan
    weight = weights[ranking.image]
    found = weight[ranking.right].cumsum()
    precision = found / (weight.cumsum()[ranking.right] + np.spacing(1))
    best = np.maximum.accumulate(precision[::-1])[::-1]
    rising = found / people
    return np.append(best, 0.0)[np.searchsorted(rising, RECALLS)], float(rising[-1]) if len(rising) else 0.0


def _per_image(
    gt: GroundTruth, mask: Bool[np.ndarray, " P"], image_ids: Int[np.ndarray, " I"]
) -> Int[np.ndarray, " I"]:
    return np.bincount(np.searchsorted(image_ids, gt.image_id[mask]), minlength=len(image_ids))


def _shares(
    gt: GroundTruth, results: Results, skeleton: Skeleton, image_ids: Int[np.ndarray, " I"]
) -> dict[str, tuple[Int[np.ndarray, " I"], Int[np.ndarray, " I"]]]:
    """PCK of visible and occluded joints, and the kinds of error, of people whom a result is about."""
    person_of = persons_of_results(gt, results, skeleton.sigma_array)
    kind = diagnose(gt, results, person_of, skeleton).kind
    about = person_of >= 0
    person = person_of[about]
    image = np.searchsorted(image_ids, gt.image_id[person])

    def summed(joints: Bool[np.ndarray, "n J"]) -> Int[np.ndarray, " I"]:
        return np.bincount(np.repeat(image, joints.sum(1)), minlength=len(image_ids))

    distance = np.linalg.norm(results.keypoints_xy[about] - gt.keypoints_xy[person], axis=-1)
    correct = distance <= PCK_FRACTION * gt.bbox_xywh[person, 2:].max(-1, initial=0)[:, None]
    masks = {name: mask[person] for name, mask in joint_masks(gt, skeleton).items() if name in ("visible", "occluded")}
    shares = {f"PCK_{name}": (summed(mask), summed(mask & correct)) for name, mask in masks.items()}
    asked = summed(kind[about] >= 0)
    return shares | {name: (asked, summed(kind[about] == ErrorKind[name.upper()])) for name in DIAGNOSED}


def all_images(pairs: Iterable[tuple[GroundTruth, Results]]) -> Int[np.ndarray, " I"]:
    """Numbers of all images that experiments were judged on, rising."""
    return np.unique(np.concatenate([ids for gt, results in pairs for ids in (gt.image_ids, results.image_id)]))
