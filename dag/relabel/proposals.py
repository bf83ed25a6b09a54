"""Where a joint may be that is not labelled: the prior and other models' poses together, with what they leave open."""

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
    """Where one joint may be.

    Attributes:
        xy: image pixels, pixel-index frame.
        uncertainty: standard deviation along one axis in OKS units, pixels / (sqrt(area) 2 sigma); not calibrated yet.
        disagreement: largest distance between two sources, in OKS units; NaN where there is one.
        sources: names of results files, and "prior".
    """

    xy: Float[np.ndarray, "2"]
    uncertainty: float
    disagreement: float
    sources: tuple[str, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """The sources that are somebody's model."""
        return tuple(source for source in self.sources if source != PRIOR)


def oks_units(person: PersonAnnotation, skeleton: Skeleton) -> Float[np.ndarray, " J"]:
    """Pixels of one OKS unit of each joint: sqrt(area) times twice its sigma."""
    return np.sqrt(person.area) * 2 * skeleton.sigma_array


def propose(
    person: PersonAnnotation,
    known: Bool[np.ndarray, " J"],
    asked: Bool[np.ndarray, " J"],
    prior: PosePrior | None,
    models: Sequence[Poses],
    errors: Mapping[str, float],
    skeleton: Skeleton,
) -> dict[int, Proposal]:
    """A proposal for each of the `asked` joints that a source knows of.

    Independent Gaussians are multiplied. Where they lie further apart than they say, all are widened until they agree.

    Args:
        known: joints whose label may be used.
        errors: standard deviation of each model's joints in OKS units (dag.relabel.calibration.model_errors).
    """
    units = oks_units(person, skeleton)
    said: dict[str, tuple[Float[np.ndarray, "J 2"], Float[np.ndarray, "J 2 2"]]] = {}
    if prior is not None and known.any():
        said[PRIOR] = conditional(prior, person.keypoints_xy, known, person.area)
    for poses in models:
        if person.person_id in poses.of_person:
            spread = (errors[poses.name] * units) ** 2
            said[poses.name] = poses.of_person[person.person_id], spread[:, None, None] * np.eye(2)
    if not said:
        return {}
    places, spreads = np.stack([mean for mean, _ in said.values()]), np.stack([spread for _, spread in said.values()])
    return {
        int(joint): _fused(places[:, joint], spreads[:, joint], float(units[joint]), tuple(said))
        for joint in np.flatnonzero(asked)
    }


def _fused(
    places: Float[np.ndarray, "S 2"], spreads: Float[np.ndarray, "S 2 2"], unit: float, sources: tuple[str, ...]
) -> Proposal:
    weights = np.linalg.inv(spreads)
    spread = np.linalg.inv(weights.sum(0))
    xy = spread @ np.einsum("sab,sb->a", weights, places)
    away = places - xy
    excess = np.einsum("sa,sab,sb->", away, weights, away) / max(2 * (len(places) - 1), 1)
    apart = np.linalg.norm(places[:, None] - places, axis=-1).max() / unit if len(places) > 1 else np.nan
    deviation = np.sqrt(np.trace(spread) / 2 * max(1.0, float(excess)))
    return Proposal(xy, float(deviation / unit), float(apart), sources)
