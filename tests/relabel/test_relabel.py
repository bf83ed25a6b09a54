"""Relabelling of constructed persons: decisions, unchanged labels, and independence of the workers."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from dag.annotation import Occluder, PersonAnnotation, Source, Visibility, write_annotations
from dag.relabel.apply import apply_candidates
from dag.relabel.candidates import write_candidates
from dag.relabel.evidence import Evidence
from dag.relabel.model_poses import ModelPoses
from dag.relabel.occluder import Reason
from dag.skeleton import COCO17
from tests.relabel.scenes import EXACT, WRIST, X, Y, candidates_of, persons_of_all_kinds, without_wrist
from tests.standing import WIDTH, standing


def model(person: PersonAnnotation, name: str = "other.json", shift: float = 0.0, error: float = 0.1) -> Evidence:
    """One model with an error of `error` OKS units, whose pose of a person is off by `shift` pixels."""
    poses = ModelPoses(name, "0" * 64, {person.person_id: person.keypoints_xy + shift})
    return Evidence(None, [poses], {name: error}, EXACT)


def test_decided_joints_change_and_nothing_else_does() -> None:
    before = persons_of_all_kinds()
    candidates = candidates_of(before)
    assert [(c.person_id, c.occluder, c.reason, c.decision) for c in candidates] == [
        (1, "person", Reason.OTHER_MASK, "accepted"),
        (11, "self", Reason.OWN_MASK, "accepted"),
        (21, "object", Reason.NO_MASK, "accepted"),
        (31, "unknown", Reason.NEAR_BORDER, "queued"),
    ]
    labels = {(c.joint, c.x, c.y, c.x_before, c.y_before, c.visibility_before, c.visibility) for c in candidates}
    assert labels == {("left_wrist", *(2 * (float(X), float(Y))), 1, 3)}
    assert {(c.confidence, c.uncertainty, c.sources) for c in candidates} == {(1.0, 0.0, ())}
    kinds = {1: Occluder.PERSON, 11: Occluder.SELF, 21: Occluder.OBJECT}
    for old, new in zip(before, apply_candidates(before, candidates, COCO17)):
        changed = {name: getattr(old, name).copy() for name in ("visibility", "visibility_source", "occluder")}
        if old.person_id in kinds:
            changed["visibility"][WRIST] = Visibility.RELABELLED
            changed["visibility_source"][WRIST] = Source.RELABELLED
            changed["occluder"][WRIST] = kinds[old.person_id]
        for field in fields(PersonAnnotation):
            expected = changed.get(field.name, getattr(old, field.name))
            np.testing.assert_array_equal(getattr(new, field.name), expected, err_msg=field.name)


def test_same_bytes_for_any_number_of_workers(tmp_path: Path) -> None:
    persons = [
        replace(one, image_id=10 * copy + one.image_id, person_id=1000 * copy + one.person_id)
        for copy in range(40)
        for one in persons_of_all_kinds()
    ]
    files = []
    for count in (0, 1, 2):
        candidates = candidates_of(persons, workers=count)
        write_annotations(tmp_path / "annotations", apply_candidates(persons, candidates, COCO17), COCO17)
        write_candidates(tmp_path / "queue", candidates)
        files.append([(tmp_path / name).read_bytes() for name in ("annotations", "queue")])
        assert len(candidates) == 160
    assert files[0] == files[1] == files[2]


def test_ground_truth_occluders_do_not_influence_decisions() -> None:
    persons = persons_of_all_kinds()
    assert str(candidates_of(persons)) == str(candidates_of([replace(one, gt_occluder=None) for one in persons]))


def test_a_model_locates_an_unlabelled_joint() -> None:
    person, complete = without_wrist()
    [row] = candidates_of([person], model(complete, shift=1.5))
    assert (row.joint, row.visibility_before, row.visibility, row.decision) == ("left_wrist", 0, 3, "accepted")
    assert (row.x, row.y) == pytest.approx(complete.keypoints_xy[WRIST] + 1.5)
    assert row.sources == ("other.json",)
    assert row.uncertainty == pytest.approx(0.1)
    assert row.occluder == "object"
    new = apply_candidates([person], [row], COCO17)[0]
    assert new.visibility_source[WRIST] == Source.PROPOSED
    assert new.num_keypoints == person.num_keypoints + 1
    np.testing.assert_array_equal(np.delete(new.keypoints_xy, WRIST, 0), np.delete(person.keypoints_xy, WRIST, 0))


def test_queued_candidates_change_nothing() -> None:
    person, complete = without_wrist()
    uncertain = candidates_of([person], model(complete, error=2.0))
    strict = candidates_of([person], model(complete, error=0.5), min_confidence=0.95)
    at_border = replace(person, bbox_xywh=np.array([0.0, *person.bbox_xywh[1:]]))
    truncated = candidates_of([at_border], model(complete))
    for candidates in (uncertain, strict, truncated):
        assert [row.decision for row in candidates] == ["queued"]
        assert apply_candidates([person], candidates, COCO17)[0] is person
    assert truncated[0].reason == Reason.TRUNCATED
    assert uncertain[0].confidence < 0.3


def test_joints_outside_the_image_are_no_candidates() -> None:
    person, complete = without_wrist()
    outside = replace(complete, keypoints_xy=complete.keypoints_xy + [WIDTH, 0])
    assert candidates_of([person], model(outside)) == []
    assert candidates_of([standing(2, 100, is_crowd=True)], model(complete)) == []
