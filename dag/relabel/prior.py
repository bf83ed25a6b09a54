"""An anatomical prior: where joints are, given others, learned from whole poses.

A mixture of Gaussians over poses that were aligned by scale and place. Conditioned on the labelled joints of a person
it gives every other joint a mean and a covariance. Mirrored poses count too, so left and right are treated alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from dag.annotation import PersonAnnotation
from dag.relabel.gaussian import fit_gaussian
from dag.skeleton import Skeleton

POSES_A_CLUSTER = 100
MOST_CLUSTERS = 48
LEAST_POSES = 300
"""Whole poses; with fewer, incomplete ones count too (dag.relabel.incomplete)."""
SHRINKAGE = 60
"""A cluster's covariance counts as its poses, half the common one as so many."""
FLOOR = 1e-4
"""Added variance, in squared pose sizes."""
SCALE_WEIGHT = 0.25
"""A person's area tells the scale as much as a joint would so many square roots of the area off the centre."""


@dataclass(frozen=True, eq=False)
class PosePrior:
    """K Gaussians over aligned poses of J joints.

    Attributes:
        mean: joints of each, in pose sizes.
        covariance: of the 2 J coordinates.
        weight: share of the poses.
        size: median of pose size over the square root of the person's area.
    """

    mean: Float[np.ndarray, "K J 2"]
    covariance: Float[np.ndarray, "K J2 J2"]
    weight: Float[np.ndarray, " K"]
    size: float


def fit_prior(persons: Sequence[PersonAnnotation], skeleton: Skeleton, rng: np.random.Generator) -> PosePrior | None:
    """Learn from the people whose joints are all labelled; from others too where those are few; None without either."""
    whole = [p for p in persons if not p.is_crowd and p.area > 0 and (p.visibility > 0).all()]
    if len(whole) < LEAST_POSES:
        one = fit_incomplete(persons, skeleton)
        return None if one is None else PosePrior(one[0][None], one[1][None], np.ones(1), one[2])
    poses = np.stack([person.keypoints_xy for person in whole])
    poses = np.concatenate([poses, (poses * [-1, 1])[:, skeleton.flip_index]])
    centred = poses - poses.mean(1, keepdims=True)
    sizes = np.sqrt((centred**2).mean((1, 2)))
    aligned = centred / np.maximum(sizes, 1e-9)[:, None, None]
    flat = aligned.reshape(len(poses), -1)
    common = np.cov(flat.T)
    groups = _clusters(flat, min(MOST_CLUSTERS, max(1, len(flat) // POSES_A_CLUSTER)), rng)
    members = [flat[groups == group] for group in np.unique(groups)]
    floor = FLOOR * np.eye(len(common))
    covariance = [
        (len(some) * np.cov(some.T, bias=True) + SHRINKAGE * common / 2) / (len(some) + SHRINKAGE) + floor
        for some in members
    ]
    areas = np.sqrt([person.area for person in whole])
    return PosePrior(
        mean=np.stack([some.mean(0) for some in members]).reshape(len(members), -1, 2),
        covariance=np.stack(covariance),
        weight=np.array([len(some) / len(flat) for some in members]),
        size=float(np.median(sizes[: len(whole)] / areas)),
    )


def _clusters(flat: Float[np.ndarray, "n d"], count: int, rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    """Group numbers by k-means; a group of fewer than three poses joins its nearest."""
    from scipy.cluster.vq import kmeans2

    centres, groups = kmeans2(flat, count, minit="++", rng=rng, iter=30)
    small = np.flatnonzero(np.bincount(groups, minlength=count) < 3)
    large = np.setdiff1d(np.arange(count), small)
    lost = np.isin(groups, small)
    if lost.any() and len(large):
        groups[lost] = large[((flat[lost, None] - centres[None, large]) ** 2).sum(-1).argmin(1)]
    return groups


def conditional(
    prior: PosePrior, xy: Float[np.ndarray, "J 2"], known: Bool[np.ndarray, " J"], area: float
) -> tuple[Float[np.ndarray, "J 2"], Float[np.ndarray, "J 2 2"]]:
    """Mean and covariance of every joint, in image pixels, given the `known` ones (at least one).

    Args:
        xy: image pixels.
        area: of the person, in square pixels; what tells the scale where few joints are known.
    """
    joints = len(xy)
    scale, shift = _aligned(prior, xy, known, area)
    flags = np.repeat(known, 2)
    sought = (xy[known] * scale[:, None, None] + shift[:, None]).reshape(len(scale), -1)
    away = sought - prior.mean[:, known].reshape(len(scale), -1)
    inner, cross = prior.covariance[:, flags][:, :, flags], prior.covariance[:, flags]
    gain = np.linalg.solve(inner, np.concatenate([cross, away[..., None]], axis=2))
    mean = prior.mean.reshape(len(scale), -1) + np.einsum("kd,kde->ke", away, gain[:, :, :-1])
    left = prior.covariance - np.einsum("kdi,kdj->kij", cross, gain[:, :, :-1])
    likelihood = -0.5 * np.einsum("kd,kd->k", away, gain[:, :, -1]) - 0.5 * np.linalg.slogdet(inner)[1]
    likelihood += flags.sum() * np.log(scale) + np.log(prior.weight)
    share = np.exp(likelihood - likelihood.max())
    share /= share.sum()
    places = (mean.reshape(-1, joints, 2) - shift[:, None]) / scale[:, None, None]
    blocks = left.reshape(-1, joints, 2, joints, 2)[:, np.arange(joints), :, np.arange(joints)].swapaxes(0, 1)
    middle = np.einsum("k,kji->ji", share, places)
    off = places - middle
    blocks = blocks / (scale**2)[:, None, None, None] + off[..., :, None] * off[..., None, :]
    return middle, np.einsum("k,kjab->jab", share, blocks)


def _aligned(
    prior: PosePrior, xy: Float[np.ndarray, "J 2"], known: Bool[np.ndarray, " J"], area: float
) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, "K 2"]]:
    """Scale and shift that take the known joints nearest to each cluster's mean."""
    points, means = xy[known], prior.mean[:, known]
    centre, centres = points.mean(0), means.mean(1)
    usual, weight = 1 / (prior.size * np.sqrt(area)), SCALE_WEIGHT**2 * area
    own = points - centre
    scale = (np.einsum("ji,kji->k", own, means - centres[:, None]) + weight * usual) / ((own**2).sum() + weight)
    scale = np.maximum(scale, 0.2 * usual)
    return scale, centres - scale[:, None] * centre
