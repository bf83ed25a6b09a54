"""Proposals for joints whose location is annotated, with their distance to it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from dag.annotation import PersonAnnotation, Visibility
from dag.relabel.model_poses import ModelPoses
from dag.relabel.prior import PosePrior
from dag.relabel.proposals import Proposal, oks_units, propose
from dag.skeleton import Skeleton

Group = tuple[int, bool]
"""Calibration group of a proposal: bin of the person's number of known joints, and whether a model contributed."""

KNOWN_JOINT_BINS = (3, 6, 10)
"""Bounds between the bins of the number of known joints."""


@dataclass(frozen=True, eq=False)
class EvaluatedProposal:
    """A proposal for a joint whose location is annotated.

    Attributes:
        person, joint: the instance and the joint's index.
        group: calibration group.
        distance: from the proposal to the annotation, in OKS units.
    """

    person: PersonAnnotation
    joint: int
    proposal: Proposal
    group: Group
    distance: float


def group_of(known: int, proposal: Proposal) -> Group:
    """Calibration group of a proposal for a person with `known` known joints."""
    return int(np.searchsorted(KNOWN_JOINT_BINS, known, side="right")), bool(proposal.models)


def occluded_and_visible(person: PersonAnnotation) -> tuple[Bool[np.ndarray, " J"], Bool[np.ndarray, " J"]]:
    """Masks of the joints with visibility 1, which are held out, and of those with 2, which are known."""
    return person.visibility == Visibility.OCCLUDED, person.visibility == Visibility.VISIBLE


def evaluated_proposals(
    persons: Sequence[PersonAnnotation],
    prior: PosePrior | None,
    models: Sequence[ModelPoses],
    errors: Mapping[str, float],
    skeleton: Skeleton,
) -> Iterator[EvaluatedProposal]:
    """Proposals for all occluded joints of each person, made from its visible joints alone.

    Crowds, and persons without an occluded or without a visible joint, are skipped.
    """
    for person in persons:
        occluded, visible = occluded_and_visible(person)
        if person.is_crowd or person.area <= 0 or not occluded.any() or not visible.any():
            continue
        units = oks_units(person, skeleton)
        for joint, proposal in propose(person, visible, occluded, prior, models, errors, skeleton).items():
            distance = float(np.linalg.norm(proposal.xy - person.keypoints_xy[joint]) / units[joint])
            yield EvaluatedProposal(person, joint, proposal, group_of(int(visible.sum()), proposal), distance)


def is_recovered(distance: float, oks: float = 0.5) -> bool:
    """Whether a distance in OKS units gives at least this OKS: exp(-distance^2 / 2) >= oks."""
    return bool(distance**2 <= -2 * np.log(oks))
