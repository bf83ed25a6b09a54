"""Application of decisions and candidates: repeated person ids, precedence of reviewers, invalid locations."""

from dataclasses import replace

import pytest

from dag.annotation import Occluder, PersonAnnotation, Source
from dag.errors import UserError
from dag.relabel.apply import apply_candidates, apply_decisions
from dag.relabel.candidates import Candidate, annotated_candidate
from dag.relabel.reviews import Decision
from dag.skeleton import COCO17
from tests.relabel.scenes import WRIST, X, Y, candidates_of, decision, persons_of_all_kinds
from tests.standing import standing


def two_with_one_id() -> list[PersonAnnotation]:
    """A person of the train split and one of the val split, both with id 1, at different locations."""
    return [standing(1, 20), replace(standing(1, 100), split="val", image_id=2)]


def moved(person: PersonAnnotation, joint: int, **changes: object) -> Candidate:
    row = annotated_candidate(person, joint, COCO17)
    return replace(row, x=7.0, y=8.0, visibility=3, occluder="object", decision="accepted", **changes)


def test_a_candidate_changes_the_person_of_its_split() -> None:
    before = two_with_one_id()
    after = apply_candidates(before, [moved(before[1], 9)], COCO17)
    assert after[0] is before[0]
    assert after[1].keypoints_xy[9].tolist() == [7, 8]


def test_a_decision_about_a_repeated_id_is_unused() -> None:
    before = two_with_one_id()
    ambiguous = Decision(1, "nose", "move", 1.0, 1.0, 3, "object", "ann", "2026-01-31T23:59:59Z")
    rows, unused = apply_decisions([moved(person, 9) for person in before], before, [ambiguous], COCO17)
    assert unused == [ambiguous]
    assert [(row.split, row.joint) for row in rows] == [("train", "left_wrist"), ("val", "left_wrist")]


def test_reviewers_override_the_stage() -> None:
    before = persons_of_all_kinds()
    decisions = [
        decision(1, "reject", 1, (float(X), float(Y)), occluder="unknown"),
        decision(11, "move", 3),
        decision(21, "flag", 2, (float(X), float(Y))),
        decision(31, "accept", 3, (float(X), float(Y)), occluder="self"),
        decision(2, "flag", 0, joint="nose"),
        decision(77, "accept", 3),
        decision(1, "accept", 3, joint="tail"),
    ]
    candidates, unused = apply_decisions(candidates_of(before), before, decisions, COCO17)
    assert unused == decisions[-2:]
    assert [(c.person_id, c.joint, c.decision, c.reviewer) for c in candidates] == [
        (1, "left_wrist", "reject", "ann"),
        (2, "nose", "flag", "ann"),
        (11, "left_wrist", "move", "ann"),
        (21, "left_wrist", "flag", "ann"),
        (31, "left_wrist", "accept", "ann"),
    ]
    new = {person.person_id: person for person in apply_candidates(before, candidates, COCO17)}
    labels = {n: (int(new[n].visibility[WRIST]), int(new[n].visibility_source[WRIST])) for n in (1, 11, 21, 31)}
    reviewed = int(Source.REVIEWED)
    assert labels == {1: (1, 1), 11: (3, reviewed), 21: (2, reviewed), 31: (3, reviewed)}
    assert new[11].keypoints_xy[WRIST].tolist() == [5, 6]
    assert new[31].occluder[WRIST] == Occluder.SELF
    assert new[2].visibility[0] == 0
    assert new[2].keypoints_xy[0].tolist() == [0, 0]


def test_a_joint_outside_its_image_is_an_error() -> None:
    persons = persons_of_all_kinds()
    fault = "reviews, person 11, left_wrist, by ann: joint outside the image: expected a location within 200 x 220 "
    with pytest.raises(UserError, match=fault + "pixels"):
        apply_decisions(candidates_of(persons), persons, [decision(11, "move", 3, (-50.0, 9.0))], COCO17)
