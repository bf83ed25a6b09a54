"""Labels of candidates in rows: whose they are where two splits count alike, and what people decided."""

from dataclasses import replace

import pytest

from dag.annotation import Occluder, PersonAnnotation, Source
from dag.errors import UserError
from dag.relabel.candidates import Candidate
from dag.relabel.candidates import annotated_candidate
from dag.relabel.apply import apply_candidates, apply_decisions
from dag.relabel.reviews import Decision
from dag.skeleton import COCO17
from tests.standing import standing
from tests.relabel.scenes import WRIST, X, Y
from tests.relabel.test_decide import decided, decision, rows_of_all_kinds


def two_of_one_id() -> list[PersonAnnotation]:
    """A person of the train and one of the val split, both number 1, elsewhere in their images."""
    return [standing(1, 20), replace(standing(1, 100), split="val", image_id=2)]


def moved(person: PersonAnnotation, joint: int, **changes: object) -> Candidate:
    row = annotated(person, joint, COCO17)
    return replace(row, x=7.0, y=8.0, visibility=3, occluder="object", decision="accepted", **changes)


def test_a_label_goes_to_the_person_of_its_split() -> None:
    before = two_of_one_id()
    after = apply(before, [moved(before[1], 9)], COCO17)
    assert after[0] is before[0]
    assert after[1].keypoints_xy[9].tolist() == [7, 8]


def test_a_decision_about_an_id_of_two_people_is_not_used() -> None:
    before = two_of_one_id()
    decision = Decision(1, "nose", "move", 1.0, 1.0, 3, "object", "ann", "2026-01-31T23:59:59Z")
    rows, unused = with_reviews([moved(person, 9) for person in before], before, [decision], COCO17)
    assert unused == [decision]
    assert [(row.split, row.joint) for row in rows] == [("train", "left_wrist"), ("val", "left_wrist")]


def test_people_have_the_last_word() -> None:
    before = rows_of_all_kinds()
    decisions = [
        decision(1, "reject", 1, (float(X), float(Y)), occluder="unknown"),
        decision(11, "move", 3),
        decision(21, "flag", 2, (float(X), float(Y))),
        decision(31, "accept", 3, (float(X), float(Y)), occluder="self"),
        decision(2, "flag", 0, joint="nose"),
        decision(77, "accept", 3),
        decision(1, "accept", 3, joint="tail"),
    ]
    found, unused = with_reviews(decided(before), before, decisions, COCO17)
    assert unused == decisions[-2:]
    assert [(c.person_id, c.joint, c.decision, c.reviewer) for c in found] == [
        (1, "left_wrist", "reject", "ann"),
        (2, "nose", "flag", "ann"),
        (11, "left_wrist", "move", "ann"),
        (21, "left_wrist", "flag", "ann"),
        (31, "left_wrist", "accept", "ann"),
    ]
    new = {row.person_id: row for row in apply(before, found, COCO17)}
    labels = {n: (int(new[n].visibility[WRIST]), int(new[n].visibility_source[WRIST])) for n in (1, 11, 21, 31)}
    reviewed = int(Source.REVIEWED)
    assert labels == {1: (1, 1), 11: (3, reviewed), 21: (2, reviewed), 31: (3, reviewed)}
    assert new[11].keypoints_xy[WRIST].tolist() == [5, 6]
    assert new[31].occluder[WRIST] == Occluder.SELF
    assert new[2].visibility[0] == 0
    assert new[2].keypoints_xy[0].tolist() == [0, 0]


def test_a_joint_outside_its_photograph_is_refused() -> None:
    rows = rows_of_all_kinds()
    fault = "reviews, person 11, left_wrist, by ann: joint outside the image: expected a place within 200 x 220 pixels"
    with pytest.raises(UserError, match=fault):
        with_reviews(decided(rows), rows, [decision(11, "move", 3, (-50.0, 9.0))], COCO17)
