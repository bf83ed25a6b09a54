"""Counts of relabelled joints, and the accuracy of their occluders where exact ground truth exists."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from dag.annotation import Occluder, PersonAnnotation, Visibility
from dag.relabel.candidates import ACCEPTED, QUEUED, Candidate
from dag.relabel.occluder import OCCLUDER_OF, Reason
from dag.skeleton import Skeleton


def relabel_metrics(
    persons: Sequence[PersonAnnotation], candidates: Sequence[Candidate], skeleton: Skeleton
) -> dict[str, Any]:
    """Counts of candidates by outcome; with exact ground truth, the accuracy of the accepted occluders.

    Returns:
        `occluded`, `unlabelled`: candidates annotated with visibility 1 and 0; in each `decided` by occluder,
        `undecided` by reason and `undecided_ratio`. `reviewed`: by action. `ground_truth`: `joints`, `accuracy` and
        `confusion`, which counts joints by decided occluder, then by true occluder.
    """
    gt = _gt_occluders(persons, skeleton)
    occluded = [row for row in candidates if row.visibility_before == Visibility.OCCLUDED]
    unlabelled = [row for row in candidates if row.visibility_before == Visibility.UNLABELLED]
    pairs = [
        (row.occluder, gt[(*row.person, row.joint)])
        for row in occluded
        if row.decision == ACCEPTED and (*row.person, row.joint) in gt
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
        "undecided_ratio": sum(undecided.values()) / max(len(rows), 1),
    }


def _gt_occluders(persons: Sequence[PersonAnnotation], skeleton: Skeleton) -> Mapping[tuple[str, int, str], str]:
    return {
        (person.split, person.person_id, name): Occluder(kind).name.lower()
        for person in persons
        if person.gt_occluder is not None
        for name, kind in zip(skeleton.joints, person.gt_occluder.tolist())
        if kind != Occluder.UNKNOWN
    }
