"""Non-maximum suppression of poses by OKS, hard and soft (HRNet, lib/nms/nms.py)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from dag.evaluation.coco.arrays import Results, results_of
from dag.evaluation.coco.oks import joint_similarity
from dag.prediction import Prediction, outputs_of
from dag.skeleton import Skeleton

MAX_KEPT = 20
"""Poses per image that soft NMS keeps."""
RECHECK_MARGIN = 1e-3
"""Pairs whose sum of joint similarities is within this margin of the threshold are recomputed in double precision."""


def oks_nms(
    results: Results, area: Float[np.ndarray, " D"], sigmas: Float[np.ndarray, " J"], threshold: float = 0.9
) -> Int[np.ndarray, " K"]:
    """Indices of the poses whose OKS with every kept pose of the image that has a higher score is at most `threshold`.

    Args:
        results: poses on any number of images.
        area: area of each pose's crop in square image pixels (`dag.boxes.crop_areas`); OKS uses the mean of a pair.
        sigmas: of the skeleton.

    Returns:
        By image, then by descending score; equal scores in the order of `results`.
    """
    order = np.lexsort((-results.score, results.image_id))
    first, rank, count = _groups(results.image_id[order])
    better = np.repeat(np.arange(len(order)), first + count - 1 - np.arange(len(order)))
    start = np.searchsorted(better, better)
    worse = better + 1 + np.arange(len(better)) - start
    better, worse = _duplicates(results.keypoints_xy[order], area[order], sigmas, better, worse, threshold)
    alive = np.ones(len(order), dtype=bool)
    for step in np.unique(rank[better]):
        at_rank = rank[better] == step
        alive[worse[at_rank][alive[better[at_rank]]]] = False
    return order[alive]


def soft_oks_nms(
    results: Results, area: Float[np.ndarray, " D"], sigmas: Float[np.ndarray, " J"], threshold: float = 0.9
) -> Int[np.ndarray, " K"]:
    """Indices of at most `MAX_KEPT` poses per image, selected one by one.

    Each step selects the remaining pose with the highest score; the scores of the others are multiplied by
    exp(-OKS^2 / threshold). The decayed scores only determine the selection: results keep their scores, as in HRNet.

    Args:
        results, area, sigmas: as `oks_nms`.

    Returns:
        By image, then in the order of selection.
    """
    order = np.lexsort((-results.score, results.image_id))
    _, rank, count = _groups(results.image_id[order])
    image = np.cumsum(rank == 0) - 1
    shape = int(image.max(initial=-1)) + 1, int(count.max(initial=0))
    index = np.zeros(shape, dtype=int)
    score = np.full(shape, -np.inf)
    index[image, rank], score[image, rank] = np.arange(len(order)), results.score[order]
    xy, areas = results.keypoints_xy[order], area[order]
    selected: list[np.ndarray] = []
    images = np.arange(len(index))
    for _ in range(min(MAX_KEPT, shape[1])):
        best = score.argmax(1)
        best_index = index[images, best]
        selected.append(np.where(score[images, best] > -np.inf, best_index, -1))
        score[images, best] = -np.inf
        oks = _oks(xy[best_index, None], xy[index], areas[best_index, None], areas[index], sigmas)
        score *= np.exp(-(oks**2) / threshold)
    kept = np.stack(selected, 1).ravel() if selected else np.empty(0, dtype=int)
    return order[kept[kept >= 0]]


SUPPRESSIONS = {"hard": oks_nms, "soft": soft_oks_nms}
"""NMS by the value of `predict.nms`."""


def suppress(
    predictions: Sequence[Prediction],
    areas: Float[np.ndarray, " n"],
    skeleton: Skeleton,
    *,
    nms: str,
    threshold: float,
) -> list[Prediction]:
    """The predictions that NMS keeps, within each output separately.

    Args:
        predictions: for each output, one per box in the order of the boxes.
        areas: of the boxes' crops.
        nms: key of `SUPPRESSIONS`.
        threshold: OKS threshold.
    """
    kept: list[Prediction] = []
    for poses in outputs_of(predictions).values():
        indices = SUPPRESSIONS[nms](results_of(poses, skeleton), areas, skeleton.sigma_array, threshold)
        kept += [poses[index] for index in indices]
    return kept


def _groups(
    image_id: Int[np.ndarray, " D"],
) -> tuple[Int[np.ndarray, " D"], Int[np.ndarray, " D"], Int[np.ndarray, " D"]]:
    """For each of the sorted ids: index of the first equal id, rank among the equal ids, and their number."""
    first = np.searchsorted(image_id, image_id)
    return first, np.arange(len(image_id)) - first, np.searchsorted(image_id, image_id, "right") - first


def _duplicates(
    xy: Float[np.ndarray, "D J 2"],
    area: Float[np.ndarray, " D"],
    sigmas: Float[np.ndarray, " J"],
    one: Int[np.ndarray, " N"],
    other: Int[np.ndarray, " N"],
    threshold: float,
) -> tuple[Int[np.ndarray, " M"], Int[np.ndarray, " M"]]:
    """The pairs whose OKS is above the threshold.

    Single precision, joint by joint; pairs that can no longer reach the threshold are dropped (measured: five times as
    fast as all joints at once). Pairs near the threshold are recomputed in double precision.
    """
    dissimilarity, limit = np.zeros(len(one), dtype=np.float32), len(sigmas) * (1 - threshold)
    xs, ys = np.ascontiguousarray(np.moveaxis(xy, (-1, -2), (0, 1)), dtype=np.float32)
    scale = (2 * area + np.spacing(1)).astype(np.float32)
    for x, y, sigma in zip(xs, ys, sigmas):
        distance = (x[one] - x[other]) ** 2 + (y[one] - y[other]) ** 2
        dissimilarity += 1 - np.exp(distance / (scale[one] + scale[other]) * np.float32(-0.5 / sigma**2))
        possible = dissimilarity < limit + RECHECK_MARGIN
        one, other, dissimilarity = one[possible], other[possible], dissimilarity[possible]
    duplicate = dissimilarity < limit - RECHECK_MARGIN
    near = np.flatnonzero(~duplicate)
    duplicate[near] = _oks(xy[one[near]], xy[other[near]], area[one[near]], area[other[near]], sigmas) > threshold
    return one[duplicate], other[duplicate]


def _oks(
    one_xy: Float[np.ndarray, "*#shape J 2"],
    other_xy: Float[np.ndarray, "*#shape J 2"],
    one_area: Float[np.ndarray, "*#shape"],
    other_area: Float[np.ndarray, "*#shape"],
    sigmas: Float[np.ndarray, " J"],
) -> Float[np.ndarray, "*#shape"]:
    """OKS over all joints, with the mean of both areas as the scale."""
    return joint_similarity(one_xy, other_xy, (one_area + other_area) / 2, sigmas).mean(-1)
