"""Matching of results to persons: COCO's greedy matching (pycocotools, `COCOeval.evaluateImg`), vectorised."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from dag.evaluation.coco.arrays import GroundTruth, Results

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""OKS thresholds of a true positive; AP is the mean over them."""
MAX_RESULTS = 20
"""Maximum number of results of an image, the highest scores first."""
CHUNK = 4096
"""Number of pairs whose OKS is computed at once: they fit into the processor's cache."""
ASSIGNED_OKS = 0.1
"""OKS from which a result is assigned to a person, correct or not (Ronchi & Perona, ICCV 2017)."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Every counted result with every person of its image.

    Attributes:
        order: indices of the counted results, by image, then by descending score, ties in the given order.
        rank: rank of each entry of `order` within its image.
        result: position in `order` of each pair's result; non-decreasing.
        person: index of each pair's person; increasing within a result.
        oks: OKS of each pair.
    """

    order: Int[np.ndarray, " R"]
    rank: Int[np.ndarray, " R"]
    result: Int[np.ndarray, " N"]
    person: Int[np.ndarray, " N"]
    oks: Float[np.ndarray, " N"]


def pair_up(
    gt: GroundTruth, results: Results, sigmas: Float[np.ndarray, " J"], max_results: int | None = MAX_RESULTS
) -> Pairs:
    """Pair results with the persons of their image and compute their OKS; `max_results` None: all results count."""
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
    parts = [slice(first, first + CHUNK) for first in range(0, len(person), CHUNK)]
    predicted_xy = results.keypoints_xy
    similarities = [_similarity(gt, person[part], predicted_xy[order[result[part]]], sigmas) for part in parts]
    return Pairs(order, rank, result, person, np.concatenate(similarities) if parts else np.empty(0))


def _similarity(
    gt: GroundTruth,
    person: Int[np.ndarray, " N"],
    predicted_xy: Float[np.ndarray, "N J 2"],
    sigmas: Float[np.ndarray, " J"],
) -> Float[np.ndarray, " N"]:
    """OKS of pairs in pycocotools' order of operations, so that results are bit-identical.

    For a person without labelled joints, the distance of a joint is that to the box, enlarged by its own size on each
    side. Pairs are summed in groups with the same number of joints: the rounding of a numpy sum depends on its length.
    """
    offset_x, offset_y = np.moveaxis(predicted_xy - gt.keypoints_xy[person], -1, 0)
    labelled = gt.visibility[person] > 0
    unlabelled = ~labelled.any(1)
    if unlabelled.any():
        xy, (corner, size) = predicted_xy[unlabelled], np.split(gt.bbox_xywh[person[unlabelled], None], 2, axis=-1)
        outside = np.maximum(0, corner - size - xy) + np.maximum(0, xy - (corner + size * 2))
        offset_x[unlabelled], offset_y[unlabelled] = np.moveaxis(outside, -1, 0)
        labelled[unlabelled] = True
    exponent = (offset_x**2 + offset_y**2) / (sigmas * 2) ** 2 / (gt.area[person] + np.spacing(1))[:, None] / 2
    oks, count = np.empty(len(person)), labelled.sum(1)
    for joints in np.unique(count):
        group = count == joints
        oks[group] = np.exp(-exponent[group][labelled[group]].reshape(-1, joints)).sum(1) / joints
    return oks


@dataclass(frozen=True, eq=False)
class Matches:
    """Match of every counted result in S strata and at T thresholds.

    Attributes:
        person: index into the ground truth of the matched person; -1 for none.
        ignored: neither a true nor a false positive.
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
    """Match each result, by descending score, to the unmatched person with the highest OKS.

    Persons of the stratum take precedence over others; ties are resolved by the last person. Crowd regions can be
    matched any number of times.

    Args:
        counted: evaluated persons of each stratum; the others are ignored, and so are results that match them.
        unmatched_counts: results that are false positives in each stratum if unmatched; the others are ignored.
    """
    strata, steps = len(counted), len(thresholds)
    levels = np.minimum(thresholds, 1 - 1e-10)[:, None]
    person = np.full((strata, steps, len(pairs.order)), -1)
    taken = np.zeros((strata, steps, len(gt)), dtype=bool)
    likely = np.flatnonzero(pairs.oks >= levels.min(initial=1))
    likely = likely[np.argsort(pairs.rank[pairs.result[likely]], kind="stable")]
    ranks = pairs.rank[pairs.result[likely]]
    for step in np.split(likely, np.flatnonzero(np.diff(ranks)) + 1) if len(likely) else []:
        persons, close = pairs.person[step], pairs.oks[step]
        results, start, count = np.unique(pairs.result[step], return_index=True, return_counts=True)
        free = ~taken[:, :, persons] | gt.is_crowd[persons]
        similarity = np.where(free & (close >= levels), close, -1.0)
        first_choice = np.where(counted[:, None, persons], similarity, -1.0)
        has_choice = np.maximum.reduceat(first_choice, start, axis=-1) >= 0
        similarity = np.where(np.repeat(has_choice, count, axis=-1), first_choice, similarity)
        best = np.maximum.reduceat(similarity, start, axis=-1)
        last = np.where(similarity == np.repeat(best, count, axis=-1), np.arange(len(step)), -1)
        matched = persons[np.maximum.reduceat(last, start, axis=-1)]
        person[:, :, results] = np.where(best >= 0, matched, -1)
        stratum, level, _ = np.nonzero(best >= 0)
        taken[stratum, level, matched[best >= 0]] = True
    no_person = np.zeros((strata, 1), dtype=bool)
    kept = np.append(counted, no_person, 1)[np.arange(strata)[:, None, None], person]
    return Matches(person, np.where(person >= 0, ~kept, ~unmatched_counts[:, None]))


def assigned_persons(gt: GroundTruth, results: Results, sigmas: Float[np.ndarray, " J"]) -> Int[np.ndarray, " D"]:
    """Index of the person that each result is assigned to; -1 for none. At most one result per person.

    With ground-truth boxes, the person whose box was used (of several results, the one with the highest score is
    assigned); with a detector's boxes, the person matched at an OKS of `ASSIGNED_OKS`. Crowd regions and persons
    without labelled joints have no result.
    """
    assigned = np.full(len(results), -1)
    if (results.person_id >= 0).any():
        order = np.argsort(-results.score, kind="stable")
        ids, first = np.unique(results.person_id[order], return_index=True)
        _, ours, theirs = np.intersect1d(gt.person_id, ids, return_indices=True)
        assigned[order[first[theirs]]] = ours
    else:
        pairs = pair_up(gt, results, sigmas, max_results=None)
        all_results = np.ones((1, len(pairs.order)), dtype=bool)
        assigned[pairs.order] = match(gt, pairs, gt.evaluated[None], all_results, np.array([ASSIGNED_OKS])).person[0, 0]
    return np.where(np.append(gt.evaluated, False)[assigned], assigned, -1)
