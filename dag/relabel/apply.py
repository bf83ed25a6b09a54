"""The last word: people's decisions in the table of candidates, and the labels of the table in the rows."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dag.annotation import Occluder, PersonAnnotation, Source, Visibility
from dag.errors import UserError
from dag.geometry import inside_image
from dag.relabel.candidates import ACCEPTED, Candidate
from dag.relabel.candidates import annotated_candidate
from dag.relabel.proposals import PRIOR
from dag.relabel.reviews import Decision
from dag.skeleton import Skeleton


def with_reviews(
    candidates: Sequence[Candidate],
    persons: Sequence[PersonAnnotation],
    decisions: Sequence[Decision],
    skeleton: Skeleton,
) -> tuple[list[Candidate], list[Decision]]:
    """Instances's decisions in the place of the stage's own; a decision about another joint becomes a row of its own.

    Returns:
        The rows, in order, and the decisions whose person or joint is not there, or whose id two people have.

    Raises:
        UserError: a joint was put outside its image.
    """
    count = Counter(person.person_id for person in persons)
    people = {person.person_id: person for person in persons if not person.is_crowd and count[person.person_id] == 1}
    rows = {(*row.person, row.joint): row for row in candidates}
    unused = []
    for decision in decisions:
        person = people.get(decision.person_id)
        if person is None or decision.joint not in skeleton.joints:
            unused.append(decision)
            continue
        _check_place(decision, person)
        joint = skeleton.joints.index(decision.joint)
        key = person.split, *decision.key
        row = rows.get(key) or annotated(person, joint, skeleton)
        told = {"decision": decision.action, "reviewer": decision.reviewer, "time": decision.time}
        if decision.action != "reject":  # a rejected proposal stays to be seen
            told |= {name: getattr(decision, name) for name in ("x", "y", "visibility", "occluder")}
        rows[key] = replace(row, reason=row.reason or "a person's decision", **told)
    order = {(person.split, person.person_id): number for number, person in enumerate(persons)}
    joints = {name: number for number, name in enumerate(skeleton.joints)}
    return sorted(rows.values(), key=lambda row: (order[row.person], joints[row.joint])), unused


def _check_place(decision: Decision, person: PersonAnnotation) -> None:
    size = person.image_width, person.image_height
    if decision.visibility and not inside_image(np.array([[decision.x, decision.y]]), *size)[0]:
        where = f"reviews, person {decision.person_id}, {decision.joint}, by {decision.reviewer}"
        expected, got = f"a place within {size[0]} x {size[1]} pixels", (decision.x, decision.y)
        raise UserError("joint outside the image", where=where, expected=expected, got=got, do="repair the line")


def apply(
    persons: Sequence[PersonAnnotation], candidates: Sequence[Candidate], skeleton: Skeleton
) -> list[PersonAnnotation]:
    """The rows with the labels of all candidates that change one; nothing else changes.

    The source of a label is `REVIEWED` where a person decided, `PROPOSED` where a model's results told the place, else
    `RELABELLED`.
    """
    by_person: dict[tuple[str, int], list[Candidate]] = defaultdict(list)
    for row in candidates:
        if row.is_change:
            by_person[row.person].append(row)
    return [
        _changed(person, by_person[key], skeleton) if (key := (person.split, person.person_id)) in by_person else person
        for person in persons
    ]


def _changed(person: PersonAnnotation, rows: Sequence[Candidate], skeleton: Skeleton) -> PersonAnnotation:
    names = ("keypoints_xy", "visibility", "visibility_source", "occluder")
    labels = {name: getattr(person, name).copy() for name in names}
    for row in rows:
        joint = skeleton.joints.index(row.joint)
        labelled = row.visibility != Visibility.UNLABELLED
        labels["keypoints_xy"][joint] = (row.x, row.y) if labelled else (0, 0)
        labels["visibility"][joint] = row.visibility
        labels["visibility_source"][joint] = _source(row)
        seen = row.visibility in (Visibility.UNLABELLED, Visibility.VISIBLE)
        labels["occluder"][joint] = Occluder.UNKNOWN if seen else Occluder[row.occluder.upper()]
    return replace(person, **labels)


def _source(row: Candidate) -> Source:
    if row.decision != ACCEPTED:
        return Source.REVIEWED
    return Source.PROPOSED if set(row.sources) - {PRIOR} else Source.RELABELLED
