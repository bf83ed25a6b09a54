"""Learning from a data set what places can be proposed from."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dag.annotation import Occluder, PersonAnnotation, Visibility
from dag.relabel.calibration import calibrate, model_errors
from dag.relabel.candidates import ACCEPTED, QUEUED, Candidate
from dag.relabel.occluder import OCCLUDER_OF, Reason
from dag.relabel.model_poses import ModelPoses
from dag.relabel.prior import fit_prior
from dag.skeleton import Skeleton


def learn(persons: Sequence[PersonAnnotation], models: Sequence[Poses], skeleton: Skeleton, seed: int) -> Evidence:
    """Prior, errors of the models and calibration, from the train split; from everybody where there is none.

    A model whose poses are of no train person is judged, and so calibrated, on the people it knows.
    """
    learned = learned_from(persons)
    known = {number for poses in models for number in poses.of_person}
    told = [person for person in learned if person.person_id in known]
    errors = model_errors(models, learned, skeleton) | model_errors(
        [poses for poses in models if not any(p.person_id in poses.of_person for p in learned)], persons, skeleton
    )
    calibrated = learned if told or not models else [*learned, *(p for p in persons if p.person_id in known)]
    return Evidence(
        prior=fit_prior(learned, skeleton, np.random.default_rng((seed, 0))),
        models=models,
        errors=errors,
        calibration=calibrate(calibrated, models, errors, skeleton, np.random.default_rng((seed, 1))),
    )


def learned_from(persons: Sequence[PersonAnnotation]) -> list[PersonAnnotation]:
    """Instances of the train split; everybody where there is none."""
    return [person for person in persons if person.split == "train"] or list(persons)


def relabel_metrics(
    persons: Sequence[PersonAnnotation], candidates: Sequence[Candidate], skeleton: Skeleton
) -> dict[str, Any]:
    """Counts of candidates and what became of them; where rows know the ground_truth, how often the occluder is met.

    `occluded`: joints annotated with visibility 1, `unlabelled`: with 0. `decided` by occluder, `undecided` by reason,
    `reviewed` by action. `ground_truth.confusion`: decided kind, true kind, number of joints.
    """
    truths = _gt_occluders(persons, skeleton)
    occluded = [row for row in candidates if row.visibility_before == Visibility.OCCLUDED]
    unlabelled = [row for row in candidates if row.visibility_before == Visibility.UNLABELLED]
    pairs = [
        (row.occluder, truths[(*row.person, row.joint)])
        for row in occluded
        if row.decision == ACCEPTED and (*row.person, row.joint) in truths
    ]
    metrics: dict[str, Any] = {"occluded": _counts(occluded), "unlabelled": _counts(unlabelled)}
    metrics["reviewed"] = dict(sorted(Counter(row.decision for row in candidates if row.reviewer).items()))
    if pairs:
        kinds = sorted({kind for kind, _ in pairs})
        confusion = {kind: dict(sorted(Counter(true for own, true in pairs if own == kind).items())) for kind in kinds}
        accuracy = sum(own == true for own, true in pairs) / len(pairs)
        metrics["ground_truth"] = {"joints": len(pairs), "accuracy": accuracy, "confusion": confusion}
    return metrics


def _counts(rows: Sequence[Candidate]) -> dict[str, Any]:
    decided = Counter(row.occluder for row in rows if row.decision == ACCEPTED)
    undecided = Counter(row.reason for row in rows if row.decision == QUEUED)
    return {
        "joints": len(rows),
        "decided": {kind.name.lower(): decided[kind.name.lower()] for kind in OCCLUDER_OF.values()},
        "undecided": {reason.value: undecided[reason.value] for reason in Reason if undecided[reason.value]},
        "undecided_share": sum(undecided.values()) / max(len(rows), 1),
    }


def _gt_occluders(persons: Sequence[PersonAnnotation], skeleton: Skeleton) -> Mapping[tuple[str, int, str], str]:
    return {
        (person.split, person.person_id, name): Occluder(kind).name.lower()
        for person in persons
        if person.gt_occluder is not None
        for name, kind in zip(skeleton.joints, person.gt_occluder.tolist())
        if kind != Occluder.UNKNOWN
    }
