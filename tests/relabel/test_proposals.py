"""Combination of sources into one proposal."""

from dataclasses import replace

import numpy as np
import pytest

from dag.relabel.model_poses import ModelPoses
from dag.relabel.proposals import oks_units, propose
from dag.skeleton import COCO17
from tests.relabel.poses import random_persons


def test_two_sources_give_their_weighted_mean() -> None:
    person = replace(random_persons(1, 2)[0], person_id=7)
    units = oks_units(person, COCO17)
    models = [
        ModelPoses(n, "", {7: person.keypoints_xy + [shift, 0]}) for n, shift in (("a", 0.0), ("b", 0.3 * units[9]))
    ]
    targets, known = np.arange(17) == 9, np.zeros(17, bool)
    near = propose(person, known, targets, None, models, {"a": 0.5, "b": 0.5}, COCO17)[9]
    assert near.xy == pytest.approx(person.keypoints_xy[9] + [0.15 * units[9], 0])
    assert near.disagreement == pytest.approx(0.3)
    assert near.uncertainty == pytest.approx(0.5 / np.sqrt(2))
    assert near.sources == ("a", "b")
    far = propose(person, known, targets, None, models, {"a": 0.01, "b": 0.01}, COCO17)[9]
    assert far.uncertainty == pytest.approx(0.15 / np.sqrt(2)), "widened by the distance of the sources"
    trusted = propose(person, known, targets, None, models, {"a": 0.01, "b": 1.0}, COCO17)[9]
    assert trusted.xy == pytest.approx(person.keypoints_xy[9], abs=0.01 * units[9])
    assert propose(replace(person, person_id=8), known, targets, None, models, {"a": 1.0, "b": 1.0}, COCO17) == {}
