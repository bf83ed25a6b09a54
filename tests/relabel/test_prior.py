"""The anatomical prior: conditional mean and covariance of joints."""

from dataclasses import replace

import numpy as np
import pytest

from dag.relabel.prior import conditional, fit_prior
from dag.relabel.proposals import oks_units
from dag.skeleton import COCO17
from tests.relabel.poses import random_persons


def test_a_rigid_joint_follows_from_all_others() -> None:
    prior = fit_prior(random_persons(800, 0, occluded=0), COCO17, np.random.default_rng(0))
    assert prior is not None
    assert prior.weight.sum() == pytest.approx(1)
    known = np.arange(17) != 11  # the left hip, which has a fixed location in the torso
    for person in random_persons(20, 1, occluded=0):
        mean, covariance = conditional(prior, person.keypoints_xy, known, person.area)
        distance = np.linalg.norm(mean[11] - person.keypoints_xy[11]) / oks_units(person, COCO17)[11]
        assert distance < 0.2
        assert (np.linalg.eigvalsh(covariance) > -1e-6).all()


def test_the_prior_is_equivariant_to_shift_scale_and_mirroring() -> None:
    prior = fit_prior(random_persons(400, 0, occluded=0), COCO17, np.random.default_rng(0))
    assert prior is not None
    person, known = random_persons(1, 5)[0], np.arange(17) < 6
    mean, covariance = conditional(prior, person.keypoints_xy, known, person.area)
    moved, wider = conditional(prior, 3 * person.keypoints_xy + [40, -7], known, 9 * person.area)
    np.testing.assert_allclose(moved, 3 * mean + [40, -7], atol=1e-6)
    np.testing.assert_allclose(wider, 9 * covariance, rtol=1e-6)
    mirrored, _ = conditional(
        prior, (person.keypoints_xy * [-1, 1])[COCO17.flip_index], known[COCO17.flip_index], person.area
    )
    np.testing.assert_allclose(mirrored, (mean * [-1, 1])[COCO17.flip_index], atol=0.1 * np.sqrt(person.area))


def test_fewer_known_joints_give_a_larger_covariance() -> None:
    prior = fit_prior(random_persons(400, 0, occluded=0), COCO17, np.random.default_rng(0))
    assert prior is not None
    person = random_persons(1, 5, occluded=0)[0]
    spread = [
        np.trace(conditional(prior, person.keypoints_xy, np.arange(17) < n, person.area)[1][16]) for n in (16, 7, 1)
    ]
    assert spread[0] < spread[1] < spread[2]


def test_without_labelled_joints_there_is_no_prior() -> None:
    persons = [replace(person, visibility=np.zeros(17, np.int8)) for person in random_persons(200, 3)]
    assert fit_prior(persons, COCO17, np.random.default_rng(0)) is None
