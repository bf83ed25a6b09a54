"""Anatomical prior: distribution of every joint given a person's labelled joints, fitted on complete poses.

A mixture of Gaussians over poses aligned by scale and shift. Conditioned on the labelled joints of a person it gives
a mean and a covariance for every other joint. Mirrored poses are added, so left and right are symmetric.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from dag.annotation import PersonAnnotation
from dag.relabel.gaussian import fit_gaussian
from dag.skeleton import Skeleton

POSES_PER_CLUSTER = 100
MAX_CLUSTERS = 48
MIN_POSES = 300
"""Complete poses; with fewer, one Gaussian is fitted on incomplete poses too (`dag.relabel.gaussian`)."""
SHRINKAGE = 60
"""Weight of half the common covariance in a cluster's covariance, in poses."""
FLOOR = 1e-4
"""Variance added to every coordinate, in squared pose sizes."""
SCALE_WEIGHT = 0.25
"""Weight of the person's area in the alignment: that of a joint this many square roots of the area off the centre."""


@dataclass(frozen=True, eq=False)
class PosePrior:
    """K Gaussians over aligned poses of J joints.

    Attributes:
        mean: joints of each component, in pose sizes.
        covariance: of the 2 J coordinates.
        weight: fraction of the poses.
        size: median of pose size over the square root of the person's area.
    """

    mean: Float[np.ndarray, "K J 2"]
    covariance: Float[np.ndarray, "K J2 J2"]
    weight: Float[np.ndarray, " K"]
    size: float


def fit_prior(persons: Sequence[PersonAnnotation], skeleton: Skeleton, rng: np.random.Generator) -> PosePrior | None:
    """Prior fitted on the completely labelled persons.

    With fewer than `MIN_POSES` of them it is one Gaussian, fitted on incomplete poses too, or None where that fails.
    """
    complete = [p for p in persons if not p.is_crowd and p.area > 0 and (p.visibility > 0).all()]
    if len(complete) < MIN_POSES:
        gaussian = fit_gaussian(persons, skeleton)
        if gaussian is None:
            return None
        mean, covariance, size = gaussian
        return PosePrior(mean[None], covariance[None], np.ones(1), size)
    poses = np.stack([person.keypoints_xy for person in complete])
    poses = np.concatenate([poses, (poses * [-1, 1])[:, skeleton.flip_index]])
    centred = poses - poses.mean(1, keepdims=True)
    sizes = np.sqrt((centred**2).mean((1, 2)))
    aligned = centred / np.maximum(sizes, 1e-9)[:, None, None]
    flat = aligned.reshape(len(poses), -1)
    common = np.cov(flat.T)
    labels = _cluster_labels(flat, min(MAX_CLUSTERS, max(1, len(flat) // POSES_PER_CLUSTER)), rng)
    clusters = [flat[labels == label] for label in np.unique(labels)]
    floor = FLOOR * np.eye(len(common))
    covariances = [
        (len(some) * np.cov(some.T, bias=True) + SHRINKAGE * common / 2) / (len(some) + SHRINKAGE) + floor
        for some in clusters
    ]
    root_areas = np.sqrt([person.area for person in complete])
    return PosePrior(
        mean=np.stack([some.mean(0) for some in clusters]).reshape(len(clusters), -1, 2),
        covariance=np.stack(covariances),
        weight=np.array([len(some) / len(flat) for some in clusters]),
        size=float(np.median(sizes[: len(complete)] / root_areas)),
    )


def _cluster_labels(flat: Float[np.ndarray, "n d"], count: int, rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    """Cluster of each pose by k-means. Poses of a cluster with fewer than three go to the nearest other cluster."""
    from scipy.cluster.vq import kmeans2

    centres, labels = kmeans2(flat, count, minit="++", rng=rng, iter=30)
    small = np.flatnonzero(np.bincount(labels, minlength=count) < 3)
    large = np.setdiff1d(np.arange(count), small)
    moved = np.isin(labels, small)
    if moved.any() and len(large):
        labels[moved] = large[((flat[moved, None] - centres[None, large]) ** 2).sum(-1).argmin(1)]
    return labels


def conditional(
    prior: PosePrior, xy: Float[np.ndarray, "J 2"], known: Bool[np.ndarray, " J"], area: float
) -> tuple[Float[np.ndarray, "J 2"], Float[np.ndarray, "J 2 2"]]:
    """Mean and covariance of every joint, in image pixels, given the `known` ones (at least one).

    Args:
        xy: image pixels.
        area: of the person, in square pixels. It sets the scale where few joints are known.
    """
    joints = len(xy)
    scale, shift = _alignment(prior, xy, known, area)
    flags = np.repeat(known, 2)
    observed = (xy[known] * scale[:, None, None] + shift[:, None]).reshape(len(scale), -1)
    residual = observed - prior.mean[:, known].reshape(len(scale), -1)
    inner, cross = prior.covariance[:, flags][:, :, flags], prior.covariance[:, flags]
    gain = np.linalg.solve(inner, np.concatenate([cross, residual[..., None]], axis=2))
    mean = prior.mean.reshape(len(scale), -1) + np.einsum("kd,kde->ke", residual, gain[:, :, :-1])
    covariance = prior.covariance - np.einsum("kdi,kdj->kij", cross, gain[:, :, :-1])
    likelihood = -0.5 * np.einsum("kd,kd->k", residual, gain[:, :, -1]) - 0.5 * np.linalg.slogdet(inner)[1]
    likelihood += flags.sum() * np.log(scale) + np.log(prior.weight)
    posterior = np.exp(likelihood - likelihood.max())
    posterior /= posterior.sum()
    means_xy = (mean.reshape(-1, joints, 2) - shift[:, None]) / scale[:, None, None]
    blocks = covariance.reshape(-1, joints, 2, joints, 2)[:, np.arange(joints), :, np.arange(joints)].swapaxes(0, 1)
    mean_xy = np.einsum("k,kji->ji", posterior, means_xy)
    offset = means_xy - mean_xy
    blocks = blocks / (scale**2)[:, None, None, None] + offset[..., :, None] * offset[..., None, :]
    return mean_xy, np.einsum("k,kjab->jab", posterior, blocks)


def _alignment(
    prior: PosePrior, xy: Float[np.ndarray, "J 2"], known: Bool[np.ndarray, " J"], area: float
) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, "K 2"]]:
    """Scale and shift that align the known joints to each component's mean."""
    points, means = xy[known], prior.mean[:, known]
    centre, centres = points.mean(0), means.mean(1)
    mean_scale, weight = 1 / (prior.size * np.sqrt(area)), SCALE_WEIGHT**2 * area
    centred = points - centre
    scale = np.einsum("ji,kji->k", centred, means - centres[:, None]) + weight * mean_scale
    scale = np.maximum(scale / ((centred**2).sum() + weight), 0.2 * mean_scale)
    return scale, centres - scale[:, None] * centre
