"""Application of reviewers' decisions to candidates, and of candidates to annotations."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dag.annotation import Occluder, PersonAnnotation, Source, Visibility
from dag.errors import UserError
from dag.geometry import inside_image
from dag.relabel.candidates import ACCEPTED, Candidate, annotated_candidate
from dag.relabel.proposals import PRIOR
from dag.relabel.reviews import Decision
from dag.skeleton import Skeleton


def apply_decisions(
    candidates: Sequence[Candidate],
    persons: Sequence[PersonAnnotation],
    decisions: Sequence[Decision],
    skeleton: Skeleton,
) -> tuple[list[Candidate], list[Decision]]:
    """Candidates with decisions of reviewers. A decision about another joint adds a candidate.

    Returns:
        The candidates, in the order of persons and joints, and the unused decisions: those about a missing person or
        joint, or a person id that occurs twice.

    Raises:
        UserError: a decision puts a joint outside its image.
    """
    count = Counter(person.person_id for person in persons)
    by_id = {person.person_id: person for person in persons if not person.is_crowd and count[person.person_id] == 1}
    rows = {(*row.person, row.joint): row for row in candidates}
    unused = []
    for decision in decisions:
        person = by_id.get(decision.person_id)
        if person is None or decision.joint not in skeleton.joints:
            unused.append(decision)
            continue
        _check_location(decision, person)
        joint = skeleton.joints.index(decision.joint)
        key = person.split, *decision.key
        row = rows.get(key) or annotated_candidate(person, joint, skeleton)
        changes = {"decision": decision.action, "reviewer": decision.reviewer, "time": decision.time}
        if decision.action != "reject":  # the table keeps a rejected proposal
            changes |= {name: getattr(decision, name) for name in ("x", "y", "visibility", "occluder")}
        rows[key] = replace(row, reason=row.reason or "reviewed", **changes)
    order = {(person.split, person.person_id): index for index, person in enumerate(persons)}
    joints = {name: index for index, name in enumerate(skeleton.joints)}
    return sorted(rows.values(), key=lambda row: (order[row.person], joints[row.joint])), unused


def _check_location(decision: Decision, person: PersonAnnotation) -> None:
    size = person.image_width, person.image_height
    if decision.visibility and not inside_image(np.array([[decision.x, decision.y]]), *size)[0]:
        where = f"reviews, person {decision.person_id}, {decision.joint}, by {decision.reviewer}"
        expected, got = f"a location within {size[0]} x {size[1]} pixels", (decision.x, decision.y)
        raise UserError("joint outside the image", where=where, expected=expected, got=got, do="correct the line")


def apply_candidates(
    persons: Sequence[PersonAnnotation], candidates: Sequence[Candidate], skeleton: Skeleton
) -> list[PersonAnnotation]:
    """Annotations with the labels of all candidates that change one. All other labels stay as they are.

    The source of a label is `REVIEWED` for a reviewer's decision, `PROPOSED` where a results file contributed to the
    location, else `RELABELLED`.
    """
    by_person: dict[tuple[str, int], list[Candidate]] = defaultdict(list)
    for row in candidates:
        if row.is_change:
            by_person[row.person].append(row)
    return [
        _relabelled(person, by_person[key], skeleton)
        if (key := (person.split, person.person_id)) in by_person
        else person
        for person in persons
    ]


def _relabelled(person: PersonAnnotation, candidates: Sequence[Candidate], skeleton: Skeleton) -> PersonAnnotation:
    names = ("keypoints_xy", "visibility", "visibility_source", "occluder")
    labels = {name: getattr(person, name).copy() for name in names}
    for row in candidates:
        joint = skeleton.joints.index(row.joint)
        labelled = row.visibility != Visibility.UNLABELLED
        labels["keypoints_xy"][joint] = (row.x, row.y) if labelled else (0, 0)
        labels["visibility"][joint] = row.visibility
        labels["visibility_source"][joint] = _source(row)
        occluded = row.visibility not in (Visibility.UNLABELLED, Visibility.VISIBLE)
        labels["occluder"][joint] = Occluder[row.occluder.upper()] if occluded else Occluder.UNKNOWN
    return replace(person, **labels)


def _source(row: Candidate) -> Source:
    if row.decision != ACCEPTED:
        return Source.REVIEWED
    return Source.PROPOSED if set(row.sources) - {PRIOR} else Source.RELABELLED
