"""Non-maximum suppression by OKS: of poses that are nearly the same, the best scored stays (HRNet, lib/nms/nms.py)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from dag.evaluation.coco.arrays import Results, results_of
from dag.evaluation.coco.oks import joint_similarity
from dag.prediction import Prediction, outputs_of
from dag.skeleton import Skeleton

MAX_KEPT = 20
"""Poses of an image that soft suppression keeps."""
CLOSE = 1e-3
"""Sums of similarities that are nearer to the threshold than this are computed again in double precision."""


def oks_nms(
    results: Results, area: Float[np.ndarray, " D"], sigmas: Float[np.ndarray, " J"], threshold: float = 0.9
) -> Int[np.ndarray, " K"]:
    """Indices of the poses that no better scored kept pose of their image resembles by more than `threshold`.

    Args:
        results: poses of any number of images.
        area: of each pose's box in square pixels, padded as for the network; OKS takes the mean of both.
        sigmas: the skeleton's.

    Returns:
        By image, then by falling score; of equal scores the earlier result is first.
    """
    order = np.lexsort((-results.score, results.image_id))
    first, rank, count = _groups(results.image_id[order])
    better = np.repeat(np.arange(len(order)), first + count - 1 - np.arange(len(order)))
    start = np.searchsorted(better, better)
    worse = better + 1 + np.arange(len(better)) - start
    better, worse = _alike(results.keypoints_xy[order], area[order], sigmas, better, worse, threshold)
    alive = np.ones(len(order), dtype=bool)
    for step in np.unique(rank[better]):
        chosen = rank[better] == step
        alive[worse[chosen][alive[better[chosen]]]] = False
    return order[alive]


def soft_oks_nms(
    results: Results, area: Float[np.ndarray, " D"], sigmas: Float[np.ndarray, " J"], threshold: float = 0.9
) -> Int[np.ndarray, " K"]:
    """Indices of at most `MAX_KEPT` poses an image, chosen one by one.

    Each choice is the best scored pose that is left; the scores of the others fall by exp(-OKS^2 / threshold). Only the
    choice changes: results keep their scores, as in HRNet.

    Returns:
        By image, then in the order of choice.
    """
    order = np.lexsort((-results.score, results.image_id))
    _, rank, count = _groups(results.image_id[order])
    image = np.cumsum(rank == 0) - 1
    size = int(count.max(initial=0)), int(image.max(initial=-1)) + 1
    place = np.zeros(size[::-1], dtype=int)
    score = np.full(size[::-1], -np.inf)
    place[image, rank], score[image, rank] = np.arange(len(order)), results.score[order]
    xy, areas = results.keypoints_xy[order], area[order]
    chosen: list[np.ndarray] = []
    everyone = np.arange(len(place))
    for _ in range(min(MAX_KEPT, size[0])):
        best = score.argmax(1)
        chosen.append(np.where(score[everyone, best] > -np.inf, place[everyone, best], -1))
        score[everyone, best] = -np.inf
        oks = _oks(xy[place[everyone, best], None], xy[place], areas[place[everyone, best], None], areas[place], sigmas)
        score *= np.exp(-(oks**2) / threshold)
    kept = np.stack(chosen, 1).ravel() if chosen else np.empty(0, dtype=int)
    return order[kept[kept >= 0]]


SUPPRESSIONS = {"hard": oks_nms, "soft": soft_oks_nms}


def suppress(
    predictions: Sequence[Prediction],
    areas: Float[np.ndarray, " n"],
    skeleton: Skeleton,
    *,
    nms: str,
    threshold: float,
) -> list[Prediction]:
    """What is left of each output when poses that are nearly the same are left out.

    Args:
        predictions: of each output one for every box, in the order of the boxes.
        areas: of the boxes' crops.
        nms: key of `SUPPRESSIONS`.
        threshold: of OKS.
    """
    kept: list[Prediction] = []
    for found in outputs_of(predictions).values():
        kept += [
            found[index]
            for index in SUPPRESSIONS[nms](results_of(found, skeleton), areas, skeleton.sigma_array, threshold)
        ]
    return kept


def _groups(
    image_id: Int[np.ndarray, " D"],
) -> tuple[Int[np.ndarray, " D"], Int[np.ndarray, " D"], Int[np.ndarray, " D"]]:
    """Of sorted ids, for each: where its group starts, its place in the group, and the group's size."""
    first = np.searchsorted(image_id, image_id)
    return first, np.arange(len(image_id)) - first, np.searchsorted(image_id, image_id, "right") - first


def _alike(
    xy: Float[np.ndarray, "D J 2"],
    area: Float[np.ndarray, " D"],
    sigmas: Float[np.ndarray, " J"],
    one: Int[np.ndarray, " N"],
    other: Int[np.ndarray, " N"],
    threshold: float,
) -> tuple[Int[np.ndarray, " M"], Int[np.ndarray, " M"]]:
    """The pairs whose OKS is above the threshold.

    Joint by joint in single precision, without the pairs that cannot come up to it any more (measured: five times as
    fast as all at once); those that end near it are computed again in double precision.
    """
    spent, budget = np.zeros(len(one), dtype=np.float32), len(sigmas) * (1 - threshold)
    xs, ys = np.ascontiguousarray(np.moveaxis(xy, (-1, -2), (0, 1)), dtype=np.float32)
    scale = (2 * area + np.spacing(1)).astype(np.float32)
    for x, y, sigma in zip(xs, ys, sigmas):
        distance = (x[one] - x[other]) ** 2 + (y[one] - y[other]) ** 2
        spent += 1 - np.exp(distance / (scale[one] + scale[other]) * np.float32(-0.5 / sigma**2))
        left = spent < budget + CLOSE
        one, other, spent = one[left], other[left], spent[left]
    alike = spent < budget - CLOSE
    near = np.flatnonzero(~alike)
    alike[near] = _oks(xy[one[near]], xy[other[near]], area[one[near]], area[other[near]], sigmas) > threshold
    return one[alike], other[alike]


def _oks(
    one_xy: Float[np.ndarray, "*#shape J 2"],
    other_xy: Float[np.ndarray, "*#shape J 2"],
    one_area: Float[np.ndarray, "*#shape"],
    other_area: Float[np.ndarray, "*#shape"],
    sigmas: Float[np.ndarray, " J"],
) -> Float[np.ndarray, "*#shape"]:
    """Mean similarity over all joints, at the mean of both areas."""
    return joint_similarity(one_xy, other_xy, (one_area + other_area) / 2, sigmas).mean(-1)
