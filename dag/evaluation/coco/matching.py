"""Which result is which person: COCO's greedy matching (pycocotools, `COCOeval.evaluateImg`), vectorised."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from dag.evaluation.coco.arrays import GroundTruth, Results

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""OKS from which a result is right; AP is the mean over them."""
MAX_RESULTS = 20
"""Results of an image that count, the highest scores first."""
PART = 4096
"""Pairs whose similarity is computed at once: what fits into a processor's cache."""
ABOUT = 0.1
"""OKS from which a result is about a person, right or wrong (Ronchi & Perona, ICCV 2017)."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Every counted result with every person of its image.

    Attributes:
        order: indices into the results that count: by image, then by falling score, ties as they came.
        rank: of each of `order` among the results of its image.
        result: of each pair, a place in `order`; rising.
        person: of each pair, an index into the ground truth; rising within a result.
        oks: of each pair.
    """

    order: Int[np.ndarray, " R"]
    rank: Int[np.ndarray, " R"]
    result: Int[np.ndarray, " N"]
    person: Int[np.ndarray, " N"]
    oks: Float[np.ndarray, " N"]


def pair_up(
    gt: GroundTruth, results: Results, sigmas: Float[np.ndarray, " J"], max_results: int | None = MAX_RESULTS
) -> Pairs:
    """Results and people of the same image, with their similarity; `max_results` None: all count."""
    order = np.lexsort((-results.score, results.image_id))  # stable
    first = np.searchsorted(results.image_id[order], results.image_id[order])
    rank = np.arange(len(order)) - first
    if max_results is not None:
        order, rank = order[rank < max_results], rank[rank < max_results]
    by_image = np.argsort(gt.image_id, kind="stable")
    start = np.searchsorted(gt.image_id[by_image], results.image_id[order], "left")
    count = np.searchsorted(gt.image_id[by_image], results.image_id[order], "right") - start
    result = np.repeat(np.arange(len(order)), count)
    within = np.arange(len(result)) - np.repeat(np.cumsum(count) - count, count)
    person = by_image[np.repeat(start, count) + within]
    parts = [slice(first, first + PART) for first in range(0, len(person), PART)]
    found_xy = results.keypoints_xy
    similarities = [_similarity(gt, person[part], found_xy[order[result[part]]], sigmas) for part in parts]
    return Pairs(order, rank, result, person, np.concatenate(similarities) if parts else np.empty(0))


def _similarity(
    gt: GroundTruth,
    person: Int[np.ndarray, " N"],
    found_xy: Float[np.ndarray, "N J 2"],
    sigmas: Float[np.ndarray, " J"],
) -> Float[np.ndarray, " N"]:
    """OKS of pairs in pycocotools' order of operations, so that the last bit is the same.

    Where a person has no labelled joint, a joint is as far as it lies outside the box, grown by its own size on each
    side. Pairs are summed in groups of equally many joints: a sum of numpy depends on how many numbers it adds.
    """
    offset_x, offset_y = np.moveaxis(found_xy - gt.keypoints_xy[person], -1, 0)
    labelled = gt.visibility[person] > 0
    nobody = ~labelled.any(1)
    if nobody.any():
        far, (corner, size) = found_xy[nobody], np.split(gt.bbox_xywh[person[nobody], None], 2, axis=-1)
        outside = np.maximum(0, corner - size - far) + np.maximum(0, far - (corner + size * 2))
        offset_x[nobody], offset_y[nobody] = np.moveaxis(outside, -1, 0)
        labelled[nobody] = True
    exponent = (offset_x**2 + offset_y**2) / (sigmas * 2) ** 2 / (gt.area[person] + np.spacing(1))[:, None] / 2
    oks, count = np.empty(len(person)), labelled.sum(1)
    for joints in np.unique(count):
        group = count == joints
        oks[group] = np.exp(-exponent[group][labelled[group]].reshape(-1, joints)).sum(1) / joints
    return oks


@dataclass(frozen=True, eq=False)
class Matches:
    """What became of every counted result, in S strata and at T thresholds.

    Attributes:
        person: index into the ground truth of the matched person; -1 for none.
        ignored: counts neither as right nor as wrong.
    """

    person: Int[np.ndarray, "S T R"]
    ignored: Bool[np.ndarray, "S T R"]


def match(
    gt: GroundTruth,
    pairs: Pairs,
    counted: Bool[np.ndarray, "S P"],
    unmatched_counts: Bool[np.ndarray, "S R"],
    thresholds: Float[np.ndarray, " T"] = THRESHOLDS,
) -> Matches:
    """Give each result, the highest score first, the free person that it resembles most.

    A person of the stratum goes before one who is not counted there; of equals the last wins. Crowd regions can be
    matched any number of times.

    Args:
        counted: people that are looked for in each stratum; the others are ignored, and what matches them too.
        unmatched_counts: results that are wrong in each stratum if they match nobody; the others are ignored.
    """
    strata, steps = len(counted), len(thresholds)
    levels = np.minimum(thresholds, 1 - 1e-10)[:, None]
    person = np.full((strata, steps, len(pairs.order)), -1)
    taken = np.zeros((strata, steps, len(gt)), dtype=bool)
    likely = np.flatnonzero(pairs.oks >= levels.min(initial=1))
    likely = likely[np.argsort(pairs.rank[pairs.result[likely]], kind="stable")]
    ranks = pairs.rank[pairs.result[likely]]
    for step in np.split(likely, np.flatnonzero(np.diff(ranks)) + 1) if len(likely) else []:
        who, close = pairs.person[step], pairs.oks[step]
        results, start, count = np.unique(pairs.result[step], return_index=True, return_counts=True)
        free = ~taken[:, :, who] | gt.is_crowd[who]
        worth = np.where(free & (close >= levels), close, -1.0)
        first_choice = np.where(counted[:, None, who], worth, -1.0)
        found = np.maximum.reduceat(first_choice, start, axis=-1) >= 0
        worth = np.where(np.repeat(found, count, axis=-1), first_choice, worth)
        best = np.maximum.reduceat(worth, start, axis=-1)
        last = np.where(worth == np.repeat(best, count, axis=-1), np.arange(len(step)), -1)
        matched = who[np.maximum.reduceat(last, start, axis=-1)]
        person[:, :, results] = np.where(best >= 0, matched, -1)
        stratum, level, _ = np.nonzero(best >= 0)
        taken[stratum, level, matched[best >= 0]] = True
    nobody = np.zeros((strata, 1), dtype=bool)
    kept = np.append(counted, nobody, 1)[np.arange(strata)[:, None, None], person]
    return Matches(person, np.where(person >= 0, ~kept, ~unmatched_counts[:, None]))


def persons_of_results(gt: GroundTruth, results: Results, sigmas: Float[np.ndarray, " J"]) -> Int[np.ndarray, " D"]:
    """For each result the person it is about, an index into the ground_truth, or -1; nobody has two.

    That is the person in whose box it was sought (the best scored of several) or, where boxes are a detector's, the
    person that matching at an OKS of `ABOUT` gives it. Crowds and people without labelled joints have no results.
    """
    about = np.full(len(results), -1)
    if (results.person_id >= 0).any():
        order = np.argsort(-results.score, kind="stable")
        ids, first = np.unique(results.person_id[order], return_index=True)
        _, ours, theirs = np.intersect1d(gt.person_id, ids, return_indices=True)
        about[order[first[theirs]]] = ours
    else:
        pairs = pair_up(gt, results, sigmas, max_results=None)
        everyone = np.ones((1, len(pairs.order)), dtype=bool)
        about[pairs.order] = match(gt, pairs, gt.wanted[None], everyone, np.array([ABOUT])).person[0, 0]
    return np.where(np.append(gt.wanted, False)[about], about, -1)
