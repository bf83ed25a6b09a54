"""How far a stated uncertainty can be trusted, learned from joints whose place is known and was occluded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from dag.annotation import PersonAnnotation, Visibility
from dag.relabel.predictions import Poses
from dag.relabel.prior import PosePrior, fit_prior
from dag.relabel.proposals import Proposal, oks_units, propose
from dag.skeleton import Skeleton

Group = tuple[int, bool]
"""Of people: by number of known joints, and whether a model says something."""

LEVEL = 0.9
"""Fraction of the truths that a stated region is to hold."""
CHI_SQUARE = -2 * np.log(1 - LEVEL)
"""Squared radius of that region of a round Gaussian, in deviations."""
KNOWN = (3, 6, 10)
"""Bounds between the groups of people by number of known joints."""
LEAST_JOINTS = 60
"""A group with fewer is calibrated with all others."""
MOST_PEOPLE = 600
"""Whom a fold is calibrated on; more tell nothing new."""
ALL: Group = (-1, False)
"""The group of everybody."""
UNKNOWN_ERROR = 1.0
"""Deviation of a model, in OKS units, where no labelled joint tells it."""


@dataclass(frozen=True, eq=False)
class Known:
    """A proposal for a joint whose place is known.

    Attributes:
        group: of its calibration.
        distance: to the ground_truth, in OKS units.
    """

    person: PersonAnnotation
    joint: int
    proposal: Proposal
    group: Group
    distance: float


@dataclass(frozen=True, eq=False)
class Calibration:
    """What stated metrics are worth.

    Attributes:
        factor: by group, of the stated deviation; `LEVEL` of the truths then lie in the region of that level.
        stated, observed: knots of the monotone map from the Gaussian's probability of an OKS of .5 to the share that
            had it.
    """

    factor: Mapping[Group, float]
    stated: Float[np.ndarray, " n"]
    observed: Float[np.ndarray, " n"]

    def uncertainty(self, proposal: Proposal, group: Group) -> float:
        """Calibrated standard deviation in OKS units."""
        return proposal.uncertainty * self.factor.get(group, self.factor[ALL])

    def confidence(self, proposal: Proposal, group: Group) -> float:
        """Probability that the joint lies within OKS .5 of the proposal."""
        return float(np.interp(_within(self.uncertainty(proposal, group)), self.stated, self.observed))


def group_of(known: int, proposal: Proposal) -> Group:
    """Instances with alike numbers of known joints, with and without a model's word."""
    return int(np.searchsorted(KNOWN, known, side="right")), bool(proposal.models)


def occluded_and_visible(person: PersonAnnotation) -> tuple[Bool[np.ndarray, " J"], Bool[np.ndarray, " J"]]:
    """Joints with visibility 1, whose place is asked for, and those with 2, which are known meanwhile."""
    return person.visibility == Visibility.OCCLUDED, person.visibility == Visibility.VISIBLE


def recovered(
    persons: Sequence[PersonAnnotation],
    prior: PosePrior | None,
    models: Sequence[Poses],
    errors: Mapping[str, float],
    skeleton: Skeleton,
) -> Iterator[Known]:
    """All occluded joints of each person occluded at once, and proposed from the visible ones."""
    for person in persons:
        asked, known = occluded_and_visible(person)
        if person.is_crowd or person.area <= 0 or not asked.any() or not known.any():
            continue
        units = oks_units(person, skeleton)
        for joint, proposal in propose(person, known, asked, prior, models, errors, skeleton).items():
            distance = float(np.linalg.norm(proposal.xy - person.keypoints_xy[joint]) / units[joint])
            yield Known(person, joint, proposal, group_of(int(known.sum()), proposal), distance)


def model_errors(models: Sequence[Poses], persons: Sequence[PersonAnnotation], skeleton: Skeleton) -> dict[str, float]:
    """Deviation of each model's joints in OKS units: from the `LEVEL` quantile at occluded joints, else at all labelled.

    Args:
        persons: those that may be learned from.
    """
    found = {}
    for poses in models:
        mine = [person for person in persons if person.person_id in poses.of_person and person.area > 0]
        away = [np.linalg.norm(poses.of_person[p.person_id] - p.keypoints_xy, axis=1) for p in mine]
        units = [oks_units(person, skeleton) for person in mine]
        for least in (Visibility.OCCLUDED, Visibility.VISIBLE):
            chosen = [(p.visibility > 0) & (p.visibility <= least) for p in mine]
            distances = np.concatenate([(a / u)[c] for a, u, c in zip(away, units, chosen)] or [np.zeros(0)])
            if len(distances) >= LEAST_JOINTS:
                break
        enough = len(distances) >= LEAST_JOINTS
        found[poses.name] = float(np.quantile(distances, LEVEL) / np.sqrt(CHI_SQUARE)) if enough else UNKNOWN_ERROR
    return found


def calibrate(
    persons: Sequence[PersonAnnotation],
    models: Sequence[Poses],
    errors: Mapping[str, float],
    skeleton: Skeleton,
    rng: np.random.Generator,
) -> Calibration:
    """Learn from occluded joints of people; the prior is fitted to one half of them and judged on the other, in turns."""
    halves = np.arange(len(persons)) % 2
    found: list[Known] = []
    for half in (0, 1):
        prior = fit_prior([p for p, side in zip(persons, halves) if side != half], skeleton, rng)
        judged = [p for p, side in zip(persons, halves) if side == half and occluded_and_visible(p)[0].any()]
        found += recovered(_some(judged, MOST_PEOPLE, rng), prior, models, errors, skeleton)
    groups: dict[Group, list[Known]] = {ALL: found}
    for one in found:
        groups.setdefault(one.group, []).append(one)
    factor = {group: _factor(some) for group, some in groups.items() if group == ALL or len(some) >= LEAST_JOINTS}
    first = Calibration(factor, np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    if len(found) < LEAST_JOINTS:
        return first
    stated = np.array([_within(first.uncertainty(one.proposal, one.group)) for one in found])
    return Calibration(factor, *_monotone(stated, np.array([is_recovered(one.distance) for one in found])))


def _some(persons: list[PersonAnnotation], most: int, rng: np.random.Generator) -> list[PersonAnnotation]:
    chosen = np.sort(rng.permutation(len(persons))[:most])
    return [persons[number] for number in chosen]


def is_recovered(distance: float, oks: float = 0.5) -> bool:
    """Whether a distance in OKS units is an OKS of so much or more: exp(-d^2 / 2)."""
    return bool(distance**2 <= -2 * np.log(oks))


def _within(uncertainty: float) -> float:
    """Probability of an OKS of .5 or more, of a round Gaussian."""
    return 1 - 0.5 ** (1 / max(uncertainty, 1e-9) ** 2)


def _factor(found: Sequence[Known]) -> float:
    if not found:
        return 1.0
    ratios = [one.distance / max(one.proposal.uncertainty, 1e-9) for one in found]
    return float(np.quantile(ratios, LEVEL) / np.sqrt(CHI_SQUARE))


def _monotone(
    stated: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Knots of the isotonic regression of `right` on `stated`."""
    from scipy.optimize import isotonic_regression

    order: Int[np.ndarray, " n"] = np.argsort(stated, kind="stable")
    fitted = isotonic_regression(right[order].astype(float)).x
    edges = np.flatnonzero(np.diff(fitted)) + 1
    blocks = np.split(np.arange(len(fitted)), edges)
    return np.array([stated[order][block].mean() for block in blocks]), np.array([fitted[block[0]] for block in blocks])
