"""Calibration of the uncertainty and confidence of proposals, on occluded joints whose location is annotated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from dag.annotation import PersonAnnotation, Visibility
from dag.relabel.evaluated_proposals import (
    EvaluatedProposal,
    Group,
    evaluated_proposals,
    is_recovered,
    occluded_and_visible,
)
from dag.relabel.model_poses import ModelPoses
from dag.relabel.prior import fit_prior
from dag.relabel.proposals import Proposal, oks_units
from dag.skeleton import Skeleton

LEVEL = 0.9
"""Probability mass of a confidence region."""
CHI_SQUARE = -2 * np.log(1 - LEVEL)
"""Squared radius of that region of an isotropic two-dimensional Gaussian, in standard deviations."""
MIN_JOINTS = 60
"""Groups with fewer joints use the factor of all joints."""
MAX_PERSONS = 600
"""Persons evaluated per fold. More do not change the result and cost time."""
ALL: Group = (-1, False)
"""The group of all proposals."""
UNKNOWN_ERROR = 1.0
"""Standard deviation of a model in OKS units where too few labelled joints measure it."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Maps stated uncertainties to calibrated uncertainties and confidences.

    Attributes:
        factor: of the stated standard deviation, by group, so that a region of `LEVEL` holds that fraction of joints.
        stated, observed: knots of the monotone map from the Gaussian's probability of OKS >= .5 to the observed
            fraction.
    """

    factor: Mapping[Group, float]
    stated: Float[np.ndarray, " n"]
    observed: Float[np.ndarray, " n"]

    def uncertainty(self, proposal: Proposal, group: Group) -> float:
        """Calibrated standard deviation in OKS units."""
        return proposal.uncertainty * self.factor.get(group, self.factor[ALL])

    def confidence(self, proposal: Proposal, group: Group) -> float:
        """Calibrated probability that the joint lies within OKS .5 of the proposal."""
        return float(np.interp(_gaussian_recall(self.uncertainty(proposal, group)), self.stated, self.observed))


def model_errors(
    models: Sequence[ModelPoses], persons: Sequence[PersonAnnotation], skeleton: Skeleton
) -> dict[str, float]:
    """Standard deviation of each model's joints in OKS units, by the model's name.

    It is taken from the `LEVEL` quantile of the distances at occluded joints; with fewer than `MIN_JOINTS` of them, at
    all joints with visibility 1 or 2; with fewer than that, it is `UNKNOWN_ERROR`.

    Args:
        persons: the persons to fit on.
    """
    errors = {}
    for poses in models:
        matched = [person for person in persons if person.person_id in poses.of_person and person.area > 0]
        pixels = [np.linalg.norm(poses.of_person[p.person_id] - p.keypoints_xy, axis=1) for p in matched]
        units = [oks_units(person, skeleton) for person in matched]
        for highest in (Visibility.OCCLUDED, Visibility.VISIBLE):
            chosen = [(p.visibility > 0) & (p.visibility <= highest) for p in matched]
            distances = np.concatenate([(d / u)[c] for d, u, c in zip(pixels, units, chosen)] or [np.zeros(0)])
            if len(distances) >= MIN_JOINTS:
                break
        enough = len(distances) >= MIN_JOINTS
        errors[poses.name] = float(np.quantile(distances, LEVEL) / np.sqrt(CHI_SQUARE)) if enough else UNKNOWN_ERROR
    return errors


def calibrate(
    persons: Sequence[PersonAnnotation],
    models: Sequence[ModelPoses],
    errors: Mapping[str, float],
    skeleton: Skeleton,
    rng: np.random.Generator,
) -> Calibration:
    """Calibration by two-fold cross-validation: the prior is fitted on one half of `persons`, tested on the other."""
    halves = np.arange(len(persons)) % 2
    proposals: list[EvaluatedProposal] = []
    for half in (0, 1):
        prior = fit_prior([p for p, side in zip(persons, halves) if side != half], skeleton, rng)
        fold = [p for p, side in zip(persons, halves) if side == half and occluded_and_visible(p)[0].any()]
        proposals += evaluated_proposals(_sample(fold, MAX_PERSONS, rng), prior, models, errors, skeleton)
    groups: dict[Group, list[EvaluatedProposal]] = {ALL: proposals}
    for one in proposals:
        groups.setdefault(one.group, []).append(one)
    factor = {key: _factor(group) for key, group in groups.items() if key == ALL or len(group) >= MIN_JOINTS}
    scaled = Calibration(factor, np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    if len(proposals) < MIN_JOINTS:
        return scaled
    stated = np.array([_gaussian_recall(scaled.uncertainty(one.proposal, one.group)) for one in proposals])
    return Calibration(factor, *_isotonic(stated, np.array([is_recovered(one.distance) for one in proposals])))


def _sample(persons: list[PersonAnnotation], most: int, rng: np.random.Generator) -> list[PersonAnnotation]:
    chosen = np.sort(rng.permutation(len(persons))[:most])
    return [persons[index] for index in chosen]


def _gaussian_recall(uncertainty: float) -> float:
    """Probability of OKS >= .5 of an isotropic Gaussian with this standard deviation in OKS units."""
    return 1 - 0.5 ** (1 / max(uncertainty, 1e-9) ** 2)


def _factor(proposals: Sequence[EvaluatedProposal]) -> float:
    if not proposals:
        return 1.0
    ratios = [one.distance / max(one.proposal.uncertainty, 1e-9) for one in proposals]
    return float(np.quantile(ratios, LEVEL) / np.sqrt(CHI_SQUARE))


def _isotonic(
    stated: Float[np.ndarray, " n"], recovered: Bool[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Knots of the isotonic regression of `recovered` on `stated`."""
    from scipy.optimize import isotonic_regression

    order: Int[np.ndarray, " n"] = np.argsort(stated, kind="stable")
    fitted = isotonic_regression(recovered[order].astype(float)).x
    edges = np.flatnonzero(np.diff(fitted)) + 1
    blocks = np.split(np.arange(len(fitted)), edges)
    return np.array([stated[order][block].mean() for block in blocks]), np.array([fitted[block[0]] for block in blocks])
