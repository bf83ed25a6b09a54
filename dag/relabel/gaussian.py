"""Gaussian over poses, fitted to incompletely labelled persons by expectation maximisation."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from dag.annotation import PersonAnnotation
from dag.skeleton import Skeleton

MIN_LABELLED = 6
"""Labelled joints that a person needs to be fitted on, and persons that each joint needs to be labelled in."""
MIN_PERSONS = 30
ITERATIONS = 12
SHRINKAGE = 20
"""Weight of the covariance's diagonal, in persons."""
FLOOR = 1e-3
"""Variance added to every coordinate, in squared pose sizes."""


def usable(persons: Sequence[PersonAnnotation]) -> list[PersonAnnotation]:
    """Persons with at least `MIN_LABELLED` labelled joints."""
    return [p for p in persons if p.is_evaluated and p.area > 0 and p.num_keypoints >= MIN_LABELLED]


def fit_gaussian(
    persons: Sequence[PersonAnnotation], skeleton: Skeleton
) -> tuple[Float[np.ndarray, "J 2"], Float[np.ndarray, "D D"], float] | None:
    """Mean pose, covariance of its 2 J coordinates, and median of pose size over the square root of the area.

    Dempster, Laird & Rubin (1977). Each person is aligned to the mean by scale and shift in every iteration. None where
    there are too few persons, or where a joint is labelled in too few of them.
    """
    fitted_on = usable(persons)
    known = np.stack([p.visibility > 0 for p in fitted_on]) if fitted_on else np.zeros((0, len(skeleton)), bool)
    if len(fitted_on) < MIN_PERSONS or (known.sum(0) < MIN_LABELLED).any():
        return None
    xy = np.stack([person.keypoints_xy for person in fitted_on])
    flip = skeleton.flip_index
    xy, known = np.concatenate([xy, (xy * [-1, 1])[:, flip]]), np.concatenate([known, known[:, flip]])
    sizes = np.sqrt([person.area for person in fitted_on] * 2)
    mean = _initial_mean(xy, known, sizes)
    covariance = 0.05 * np.eye(2 * len(skeleton))
    scales = np.ones(len(xy))
    for _ in range(ITERATIONS):
        complete, conditional, scales = _completed(xy, known, mean, covariance)
        mean = complete.mean(0).reshape(-1, 2)
        mean -= mean.mean(0)
        mean /= np.sqrt((mean**2).mean())
        centred = complete - complete.mean(0)
        covariance = (centred.T @ centred + conditional) / len(complete)
        shrunk = len(complete) * covariance + SHRINKAGE * np.diag(np.diag(covariance))
        covariance = shrunk / (len(complete) + SHRINKAGE)
        covariance += FLOOR * np.eye(len(covariance))
    return mean, covariance, float(np.median(1 / (scales * sizes)))


def _initial_mean(
    xy: Float[np.ndarray, "n J 2"], known: Bool[np.ndarray, "n J"], sizes: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "J 2"]:
    """Mean of the labelled joints relative to their centre, over the square root of the area; scaled to size 1."""
    weight = known[..., None]
    centre = (xy * weight).sum(1, keepdims=True) / weight.sum(1, keepdims=True)
    mean = ((xy - centre) / sizes[:, None, None] * weight).sum(0) / weight.sum(0)
    mean -= mean.mean(0)
    return mean / np.sqrt((mean**2).mean())


def _completed(
    xy: Float[np.ndarray, "n J 2"],
    known: Bool[np.ndarray, "n J"],
    mean: Float[np.ndarray, "J 2"],
    covariance: Float[np.ndarray, "D D"],
) -> tuple[Float[np.ndarray, "n D"], Float[np.ndarray, "D D"], Float[np.ndarray, " n"]]:
    """Aligned poses with unknown joints at their conditional mean, summed conditional covariance, and scales."""
    flat, total = np.empty((len(xy), mean.size)), np.zeros_like(covariance)
    scales = np.empty(len(xy))
    for index, (points, labelled) in enumerate(zip(xy, known)):
        labelled_xy, mean_xy = points[labelled], mean[labelled]
        centred = labelled_xy - labelled_xy.mean(0)
        scales[index] = max((centred * (mean_xy - mean_xy.mean(0))).sum() / (centred**2).sum(), 1e-6)
        aligned = centred * scales[index] + mean_xy.mean(0)
        flags = np.repeat(labelled, 2)
        gain = np.linalg.solve(covariance[np.ix_(flags, flags)], covariance[flags])
        flat[index] = mean.ravel() + (aligned - mean_xy).ravel() @ gain
        flat[index, flags] = aligned.ravel()
        total += covariance - covariance[:, flags] @ gain
    return flat, total, scales
