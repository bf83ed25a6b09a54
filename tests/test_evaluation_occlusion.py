"""Figures by occlusion, against worked answers."""

from dataclasses import replace

import numpy as np
import pytest

from dag.evaluation.occlusion import joint_strata, most_occluded, occlusion_metrics
from dag.person import Occluder
from dag.skeleton import COCO17
from tests.toy import people, predict


def with_hidden(person, count):
    """All joints labelled, the first `count` hidden (1 and 3 in turn)."""
    visibility = np.full(17, 2, dtype=np.int8)
    visibility[:count] = np.resize([1, 3], count)
    return replace(person, visibility=visibility, keypoints_xy=person.keypoints_xy + 1.0)


@pytest.fixture
def persons():
    """Nine people of whom 0, 1, ... 8 joints are hidden."""
    return [with_hidden(person, count) for count, person in enumerate(people(COCO17, 9))]


def test_the_most_occluded_third(persons):
    unlabelled = replace(persons[0], person_id=99, visibility=np.zeros(17, dtype=np.int8))
    crowd = replace(persons[8], person_id=98, is_crowd=True)
    assert [person.person_id for person in most_occluded([crowd, unlabelled, *persons])] == [9, 8, 7]


def test_people_with_nothing_hidden_are_not_occluded(persons):
    assert [person.person_id for person in most_occluded([persons[0]] * 8 + [persons[1]])] == [2]
    metrics = occlusion_metrics([persons[0]], predict([persons[0]], 0.0), COCO17)
    assert metrics["most_occluded"] == {"people": 0, "AP": None}
    assert set(metrics["joints"]) == {"visible"}


def test_ap_of_the_most_occluded_is_theirs_alone(persons):
    good, bad = predict(persons, 0.0), predict(persons, 9.0)
    assert occlusion_metrics(persons, bad[:6] + good[6:], COCO17)["most_occluded"] == {"people": 3, "AP": 1.0}
    assert occlusion_metrics(persons, good[:6] + bad[6:], COCO17)["most_occluded"] == {"people": 3, "AP": 0.0}


def test_joint_strata_are_counted_apart(persons):
    predictions = []
    for person, prediction in zip(persons, predict(persons, 0.0)):
        off = np.zeros((17, 2))
        off[person.visibility != 2, 0] = 0.2 * person.bbox_xywh[2:].max()
        predictions.append(replace(prediction, keypoints_xy=person.keypoints_xy + off))
    strata = joint_strata(persons, predictions, COCO17)
    assert strata["visible"] == {"joints": 9 * 17 - 36, "OKS": 1.0, "PCK": 1.0, "error": 0.0}
    assert strata["hidden"]["joints"] == 36
    assert strata["hidden"]["PCK"] == 0.0
    sides = np.array([0.2 * person.bbox_xywh[2:].max() / np.sqrt(person.area) for person in persons])
    assert strata["hidden"]["error"] == pytest.approx((sides * np.arange(9)).sum() / 36)
    assert set(strata) == {"visible", "hidden"}


def test_true_occluder_goes_before_the_annotated_one(persons):
    row = replace(persons[4], occluder=np.full(17, Occluder.SELF, dtype=np.int8))
    strata = joint_strata([row], predict([row], 0.0), COCO17)
    assert strata["hidden_by_self"]["joints"] == 4
    truth = np.array([Occluder.OBJECT, Occluder.PERSON, Occluder.PERSON, Occluder.FRAME] + [0] * 13, dtype=np.int8)
    strata = joint_strata([replace(row, true_occluder=truth)], predict([row], 0.0), COCO17)
    counts = {name: stratum["joints"] for name, stratum in strata.items()}
    expected = {"hidden_by_object": 1, "hidden_by_person": 2, "hidden_by_frame": 1}
    assert counts == {"visible": 13, "hidden": 4, **expected}
