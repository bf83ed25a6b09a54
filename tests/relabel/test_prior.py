"""The anatomical prior, its calibration and the recovery of occluded joints: by hand, and on poses of a known law."""

from dataclasses import replace

import numpy as np
import pytest

from dag.annotation import PersonAnnotation
from dag.relabel.baselines import mean_pose, nearest_joint
from dag.relabel.calibration import CHI_SQUARE, calibrate, model_errors
from dag.relabel.evaluated_proposals import is_recovered
from dag.relabel.evidence import Evidence
from dag.relabel.evidence import learn
from dag.relabel.gaussian import fit_gaussian
from dag.relabel.model_poses import ModelPoses
from dag.relabel.prior import conditional, fit_prior
from dag.relabel.proposals import oks_units, propose
from dag.relabel.recovery import recovery
from dag.skeleton import COCO17
from tests.standing import JOINTS, standing

LIMBS = {7: 5, 9: 7, 8: 6, 10: 8, 13: 11, 15: 13, 14: 12, 16: 14}
"""Joint to the one that it turns round."""


def people(count: int, seed: int, *, occluded: float = 0.2, unlabelled: float = 0.0) -> list[PersonAnnotation]:
    """Standing people of many sizes and places whose limbs swing; some joints are occluded, some not labelled."""
    rng, found = np.random.default_rng(seed), []
    base = standing(1, 60)
    for number in range(count):
        xy = JOINTS.copy()
        for joint, parent in LIMBS.items():
            angle = rng.normal(0, 0.5)
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            xy[joint] = xy[parent] + turn @ (JOINTS[joint] - JOINTS[parent])
        size = rng.uniform(0.5, 3)
        xy = xy * size + rng.uniform(0, 300, 2)
        draw = rng.random(17)
        visibility = np.where(draw < unlabelled, 0, np.where(draw < unlabelled + occluded, 1, 2)).astype(np.int8)
        box = np.concatenate([xy.min(0), np.ptp(xy, axis=0)])
        changes = {
            "person_id": number,
            "image_id": number,
            "visibility": visibility,
            "keypoints_xy": xy,
            "bbox_xywh": box,
        }
        found.append(replace(base, **changes, area=base.area * size**2, image_width=2000, image_height=2000))
    return found


def test_given_everything_a_joint_is_where_its_neighbours_say() -> None:
    prior = fit_prior(people(800, 0, occluded=0), COCO17, np.random.default_rng(0))
    assert prior is not None
    assert prior.weight.sum() == pytest.approx(1)
    known = np.arange(17) != 11  # the left hip, which never swings
    for person in people(20, 1, occluded=0):
        mean, covariance = conditional(prior, person.keypoints_xy, known, person.area)
        away = np.linalg.norm(mean[11] - person.keypoints_xy[11]) / oks_units(person, COCO17)[11]
        assert away < 0.2
        assert (np.linalg.eigvalsh(covariance) > -1e-6).all()


def test_the_prior_moves_and_scales_with_the_person() -> None:
    prior = fit_prior(people(400, 0, occluded=0), COCO17, np.random.default_rng(0))
    assert prior is not None
    person, known = people(1, 5)[0], np.arange(17) < 6
    mean, covariance = conditional(prior, person.keypoints_xy, known, person.area)
    moved, wider = conditional(prior, 3 * person.keypoints_xy + [40, -7], known, 9 * person.area)
    np.testing.assert_allclose(moved, 3 * mean + [40, -7], atol=1e-6)
    np.testing.assert_allclose(wider, 9 * covariance, rtol=1e-6)
    mirrored, _ = conditional(
        prior, (person.keypoints_xy * [-1, 1])[COCO17.flip_index], known[COCO17.flip_index], person.area
    )
    np.testing.assert_allclose(mirrored, (mean * [-1, 1])[COCO17.flip_index], atol=0.1 * np.sqrt(person.area))


def test_fewer_known_joints_leave_more_open() -> None:
    prior = fit_prior(people(400, 0, occluded=0), COCO17, np.random.default_rng(0))
    assert prior is not None
    person = people(1, 5, occluded=0)[0]
    spread = [
        np.trace(conditional(prior, person.keypoints_xy, np.arange(17) < n, person.area)[1][16]) for n in (16, 7, 1)
    ]
    assert spread[0] < spread[1] < spread[2]


def test_incomplete_poses_teach_nearly_the_same() -> None:
    whole, part = people(200, 3, occluded=0), people(200, 3, occluded=0, unlabelled=0.4)
    one, other = fit_incomplete(whole, COCO17), fit_incomplete(part, COCO17)
    assert one is not None
    assert other is not None
    assert np.abs(one[0] - other[0]).max() < 0.1
    assert one[2] == pytest.approx(other[2], rel=0.05)
    assert fit_incomplete(part[:10], COCO17) is None
    assert (
        fit_prior([replace(p, visibility=np.zeros(17, np.int8)) for p in part], COCO17, np.random.default_rng(0))
        is None
    )


def test_hidden_joints_are_recovered_better_than_by_the_baselines_and_regions_hold_what_they_say() -> None:
    learned, judged = people(900, 10), people(300, 11)
    evidence = learn([replace(person, split="train") for person in learned], [], COCO17, seed=1)
    metrics, plots = recovery(judged, learned, evidence, COCO17)
    best = max(metrics["nearest_joint"]["OKS50"], metrics["mean_pose"]["OKS50"])
    assert metrics["ours"]["OKS50"] > best + 0.02
    assert 0.85 <= metrics["region90"] <= 0.95
    assert metrics["joints"] == sum(int((person.visibility == 1).sum()) for person in judged)
    assert sum(row["joints"] for row in plots["reliability"]) == metrics["joints"]
    assert all(abs(row["stated"] - row["observed"]) < 0.2 for row in plots["reliability"])
    assert {row["by"] for row in plots["joints"]} == {"ours", "nearest_joint", "mean_pose"}
    assert recovery([], learned, evidence, COCO17)[0] == {"joints": 0}


def test_baselines_by_hand() -> None:
    learned = people(300, 1, occluded=0)
    person = replace(people(1, 2, occluded=0)[0], visibility=np.where(np.arange(17) == 1, 1, 2).astype(np.int8))
    for baseline in (nearest_joint, mean_pose):
        guess = baseline(learned, COCO17)(person, 1)  # the left eye, near the nose, which never swings
        assert np.linalg.norm(guess - person.keypoints_xy[1]) < 0.1 * np.sqrt(person.area)


def test_two_sources_agree_on_the_weighted_middle() -> None:
    person = replace(people(1, 2)[0], person_id=7)
    units = oks_units(person, COCO17)
    models = [Poses(n, "", {7: person.keypoints_xy + [shift, 0]}) for n, shift in (("a", 0.0), ("b", 0.3 * units[9]))]
    asked, known = np.arange(17) == 9, np.zeros(17, bool)
    near = propose(person, known, asked, None, models, {"a": 0.5, "b": 0.5}, COCO17)[9]
    assert near.xy == pytest.approx(person.keypoints_xy[9] + [0.15 * units[9], 0])
    assert near.disagreement == pytest.approx(0.3)
    assert near.uncertainty == pytest.approx(0.5 / np.sqrt(2))
    assert near.sources == ("a", "b")
    far = propose(person, known, asked, None, models, {"a": 0.01, "b": 0.01}, COCO17)[9]
    assert far.uncertainty == pytest.approx(0.15 / np.sqrt(2)), "widened until they agree"
    trusted = propose(person, known, asked, None, models, {"a": 0.01, "b": 1.0}, COCO17)[9]
    assert trusted.xy == pytest.approx(person.keypoints_xy[9], abs=0.01 * units[9])
    assert propose(replace(person, person_id=8), known, asked, None, models, {"a": 1.0, "b": 1.0}, COCO17) == {}


def test_a_model_s_error_is_learned_from_hidden_joints() -> None:
    rng, known = np.random.default_rng(0), people(200, 4, occluded=0.3)
    poses = {p.person_id: p.keypoints_xy + rng.normal(0, 0.7, (17, 2)) * oks_units(p, COCO17)[:, None] for p in known}
    models = [Poses("a", "", poses), Poses("b", "", {})]
    assert model_errors(models, known, COCO17) == {"a": pytest.approx(0.7, rel=0.08), "b": 1.0}
    errors = {"a": 0.2, "b": 1.0}  # too sure of itself
    calibration = calibrate(known, models, errors, COCO17, np.random.default_rng(0))
    prior = fit_prior(known, COCO17, np.random.default_rng(0))
    evidence = Evidence(prior, models, errors, calibration)
    metrics, _ = recovery(known, known, evidence, COCO17)
    assert metrics["region90"] == pytest.approx(0.9, abs=0.03)


def test_the_region_and_the_similarity() -> None:
    drawn = np.random.default_rng(0).normal(size=(20000, 2))
    assert ((drawn**2).sum(1) <= CHI_SQUARE).mean() == pytest.approx(0.9, abs=0.01)
    assert is_recovered(1.17)
    assert not is_recovered(1.18)
    assert not is_recovered(1.17, 0.75)
