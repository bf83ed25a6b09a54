"""Proposed locations of joints: the anatomical prior and other models' poses, combined with their uncertainty."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from dag.annotation import PersonAnnotation
from dag.relabel.model_poses import ModelPoses
from dag.relabel.prior import PosePrior, conditional
from dag.skeleton import Skeleton

PRIOR = "prior"


@dataclass(frozen=True, eq=False)
class Proposal:
    """Proposed location of one joint.

    Attributes:
        xy: image pixels, pixel-index frame.
        uncertainty: standard deviation along one axis in OKS units, pixels / (sqrt(area) 2 sigma); not calibrated.
        disagreement: largest distance between two sources, in OKS units; NaN with one source.
        sources: names of results files, and "prior".
    """

    xy: Float[np.ndarray, "2"]
    uncertainty: float
    disagreement: float
    sources: tuple[str, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """The sources that are results files."""
        return tuple(source for source in self.sources if source != PRIOR)


def oks_units(person: PersonAnnotation, skeleton: Skeleton) -> Float[np.ndarray, " J"]:
    """Pixels per OKS unit of each joint: sqrt(area) times twice its sigma."""
    return np.sqrt(person.area) * 2 * skeleton.sigma_array


def propose(
    person: PersonAnnotation,
    known: Bool[np.ndarray, " J"],
    targets: Bool[np.ndarray, " J"],
    prior: PosePrior | None,
    models: Sequence[ModelPoses],
    errors: Mapping[str, float],
    skeleton: Skeleton,
) -> dict[int, Proposal]:
    """A proposal for each target joint, by joint index; empty where no source applies to the person.

    The sources are multiplied as independent Gaussians. Where their distances exceed their standard deviations, the
    result is widened to match.

    Args:
        known: joints whose label may be used.
        targets: joints to propose.
        errors: standard deviation of each model's joints in OKS units (`dag.relabel.calibration.model_errors`).
    """
    units = oks_units(person, skeleton)
    gaussians: dict[str, tuple[Float[np.ndarray, "J 2"], Float[np.ndarray, "J 2 2"]]] = {}
    if prior is not None and known.any():
        gaussians[PRIOR] = conditional(prior, person.keypoints_xy, known, person.area)
    for poses in models:
        if person.person_id in poses.of_person:
            variance = (errors[poses.name] * units) ** 2
            gaussians[poses.name] = poses.of_person[person.person_id], variance[:, None, None] * np.eye(2)
    if not gaussians:
        return {}
    means = np.stack([mean for mean, _ in gaussians.values()])
    covariances = np.stack([covariance for _, covariance in gaussians.values()])
    return {
        int(joint): _product(means[:, joint], covariances[:, joint], float(units[joint]), tuple(gaussians))
        for joint in np.flatnonzero(targets)
    }


def _product(
    means: Float[np.ndarray, "S 2"], covariances: Float[np.ndarray, "S 2 2"], unit: float, sources: tuple[str, ...]
) -> Proposal:
    """Product of Gaussians, widened by their reduced chi-square where that exceeds 1."""
    precisions = np.linalg.inv(covariances)
    covariance = np.linalg.inv(precisions.sum(0))
    xy = covariance @ np.einsum("sab,sb->a", precisions, means)
    offsets = means - xy
    chi_square = np.einsum("sa,sab,sb->", offsets, precisions, offsets) / max(2 * (len(means) - 1), 1)
    disagreement = np.linalg.norm(means[:, None] - means, axis=-1).max() / unit if len(means) > 1 else np.nan
    deviation = np.sqrt(np.trace(covariance) / 2 * max(1.0, float(chi_square)))
    return Proposal(xy, float(deviation / unit), float(disagreement), sources)
