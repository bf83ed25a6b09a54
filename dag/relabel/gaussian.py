"""The anatomical prior where hardly anybody is labelled wholly: one Gaussian, by expectation maximisation."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from dag.annotation import PersonAnnotation
from dag.skeleton import Skeleton

LEAST_LABELLED = 6
"""Labelled joints of a person who is learned from: enough to tell place and scale."""
LEAST_PEOPLE = 30
ROUNDS = 12
SHRINKAGE = 20
"""The covariance's diagonal counts as so many people."""
FLOOR = 1e-3
"""Added variance, in squared pose sizes."""


def usable(persons: Sequence[PersonAnnotation]) -> list[PersonAnnotation]:
    """Instances with enough labelled joints."""
    return [p for p in persons if not p.is_crowd and p.area > 0 and p.num_keypoints >= LEAST_LABELLED]


def fit_incomplete(
    persons: Sequence[PersonAnnotation], skeleton: Skeleton
) -> tuple[Float[np.ndarray, "J 2"], Float[np.ndarray, "D D"], float] | None:
    """Mean pose, covariance of its 2 J coordinates, and median of pose size over the square root of the area.

    Dempster, Laird & Rubin (1977); each person is scaled and shifted to the mean in between. None where there are too
    few people, or a joint that hardly anybody has.
    """
    people = usable(persons)
    known = np.stack([person.visibility > 0 for person in people]) if people else np.zeros((0, len(skeleton)), bool)
    if len(people) < LEAST_PEOPLE or (known.sum(0) < LEAST_LABELLED).any():
        return None
    xy = np.stack([person.keypoints_xy for person in people])
    flip = skeleton.flip_index
    xy, known = np.concatenate([xy, (xy * [-1, 1])[:, flip]]), np.concatenate([known, known[:, flip]])
    areas = np.sqrt([person.area for person in people] * 2)
    mean = _first_mean(xy, known, areas)
    covariance = 0.05 * np.eye(2 * len(skeleton))
    scales = np.ones(len(xy))
    for _ in range(ROUNDS):
        whole, left, scales = _completed(xy, known, mean, covariance)
        mean = whole.mean(0).reshape(-1, 2)
        mean -= mean.mean(0)
        mean /= np.sqrt((mean**2).mean())
        away = whole - whole.mean(0)
        covariance = (away.T @ away + left) / len(whole)
        covariance = (len(whole) * covariance + SHRINKAGE * np.diag(np.diag(covariance))) / (len(whole) + SHRINKAGE)
        covariance += FLOOR * np.eye(len(covariance))
    return mean, covariance, float(np.median(1 / (scales * areas)))


def _first_mean(
    xy: Float[np.ndarray, "n J 2"], known: Bool[np.ndarray, "n J"], areas: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "J 2"]:
    """Mean of the labelled joints from their centre, in square roots of the area; of size 1."""
    weight = known[..., None]
    centre = (xy * weight).sum(1, keepdims=True) / weight.sum(1, keepdims=True)
    mean = ((xy - centre) / areas[:, None, None] * weight).sum(0) / weight.sum(0)
    mean -= mean.mean(0)
    return mean / np.sqrt((mean**2).mean())


def _completed(
    xy: Float[np.ndarray, "n J 2"],
    known: Bool[np.ndarray, "n J"],
    mean: Float[np.ndarray, "J 2"],
    covariance: Float[np.ndarray, "D D"],
) -> tuple[Float[np.ndarray, "n D"], Float[np.ndarray, "D D"], Float[np.ndarray, " n"]]:
    """Aligned people with their other joints at the conditional mean, the summed conditional covariance, the scales."""
    flat, total = np.empty((len(xy), mean.size)), np.zeros_like(covariance)
    scales = np.empty(len(xy))
    for number, (points, labelled) in enumerate(zip(xy, known)):
        own, usual = points[labelled], mean[labelled]
        centred = own - own.mean(0)
        scales[number] = max((centred * (usual - usual.mean(0))).sum() / (centred**2).sum(), 1e-6)
        aligned = (own - own.mean(0)) * scales[number] + usual.mean(0)
        flags = np.repeat(labelled, 2)
        gain = np.linalg.solve(covariance[np.ix_(flags, flags)], covariance[flags])
        flat[number] = mean.ravel() + (aligned - usual).ravel() @ gain
        flat[number, flags] = aligned.ravel()
        total += covariance - covariance[:, flags] @ gain
    return flat, total, scales
