"""Strata of persons and joints, and the accuracy of joints, against worked answers."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dag.annotation import Occluder, Visibility
from dag.errors import UserError
from dag.evaluation.coco.arrays import GroundTruth, Results, ground_truth_of, results_of
from dag.evaluation.strata import (
    crowd_bands,
    joint_accuracy,
    joint_masks,
    joint_strata,
    most_occluded,
    occluded_joints,
    occlusion_ratio,
    pck_torso,
    person_strata,
)
from dag.skeleton import COCO17, CROWDPOSE14, Skeleton
from tests.toy import people, predict

LONE = Skeleton("lone", ("tail", "left_fin", "right_fin"), (("left_fin", "right_fin"),), (), (0.05, 0.1, 0.06))
SKELETONS = pytest.mark.parametrize("skeleton", [COCO17, CROWDPOSE14, LONE], ids=lambda skeleton: skeleton.name)


def ground_truth_with(visibility, skeleton: Skeleton = COCO17, **columns) -> GroundTruth:
    """Persons with these visibility numbers and other columns."""
    visibility = np.array(visibility, dtype=np.int8)
    gt = ground_truth_of(people(skeleton, len(visibility)), skeleton)
    rng = np.random.default_rng(len(visibility))
    xy = gt.bbox_xywh[:, None, :2] + rng.random(gt.keypoints_xy.shape) * gt.bbox_xywh[:, None, 2:]
    gt = replace(gt, visibility=visibility, keypoints_xy=xy, num_keypoints=(visibility > 0).sum(1))
    return replace(gt, **{name: np.array(column) for name, column in columns.items()})


def occluded_annotations(*counts: int) -> list[list[int]]:
    """Visibility of persons with all joints labelled and `counts` of them occluded (1 and 3 in turn)."""
    return [np.resize([1, 3], count).tolist() + [2] * (17 - count) for count in counts]


def results_at(gt: GroundTruth, keypoints_xy: np.ndarray) -> Results:
    """One result per person, in the same order."""
    no_person = np.full(len(gt), -1)
    return Results(gt.image_id, no_person, keypoints_xy, np.ones(keypoints_xy.shape[:2]), np.ones(len(gt)))


def strata_of(gt: GroundTruth, results: Results, person_of: np.ndarray, skeleton: Skeleton) -> dict[str, Any]:
    return joint_strata(joint_accuracy(gt, results, person_of, skeleton), joint_masks(gt, skeleton))


def test_occluded_joints_and_occlusion_ratio():
    visibility = np.array([[0, 1, 2, 3], [0, 0, 0, 0], [2, 2, 2, 2]], dtype=np.int8)
    assert occluded_joints(visibility).tolist() == [[False, True, False, True], [False] * 4, [False] * 4]
    assert occlusion_ratio(visibility).tolist() == [2 / 3, 0.0, 0.0]
    assert occlusion_ratio(visibility[0]) == 2 / 3


def test_persons_by_occlusion_ratio():
    counts = [0, 1, 5, 6, 11, 12, 17]
    strata = person_strata(ground_truth_with(occluded_annotations(*counts)))
    assert set(strata) == {"occluded_none", "occluded_third", "occluded_two_thirds", "occluded_most", "most_occluded"}
    by_stratum = {name: [count for count, inside in zip(counts, mask) if inside] for name, mask in strata.items()}
    assert by_stratum == {
        "occluded_none": [0], "occluded_third": [1, 5], "occluded_two_thirds": [6, 11], "occluded_most": [12, 17],
        "most_occluded": [11, 12, 17],
    }  # fmt: skip


@pytest.mark.parametrize("labelled", range(1, 18))
def test_bounds_of_the_occlusion_ratio_are_exact(labelled):
    """For every number of labelled joints, in integer arithmetic."""
    rows = [[1] * occluded + [2] * (labelled - occluded) + [0] * (17 - labelled) for occluded in range(labelled + 1)]
    strata = person_strata(ground_truth_with(rows))
    no_persons = np.zeros(labelled + 1, dtype=bool)
    for occluded in range(labelled + 1):
        third, most = 0 < 3 * occluded <= labelled, 3 * occluded > 2 * labelled
        expected = (occluded == 0, third, labelled < 3 * occluded <= 2 * labelled, most)
        names = ("occluded_none", "occluded_third", "occluded_two_thirds", "occluded_most")
        assert tuple(strata.get(name, no_persons)[occluded] for name in names) == expected


def test_persons_by_crowding():
    crowd_index = [0.0, 0.19, 0.2, 0.79, 0.8, 1.0, np.nan]
    max_iou = [0.49, 0.5, 0.74, 0.75, 1.0, np.nan, np.nan]
    strata = person_strata(ground_truth_with(occluded_annotations(*[0] * 7), crowd_index=crowd_index, max_iou=max_iou))
    assert {name: np.flatnonzero(mask).tolist() for name, mask in strata.items()} == {
        "occluded_none": [0, 1, 2, 3, 4, 5, 6], "crowd_easy": [0, 1], "crowd_medium": [2, 3], "crowd_hard": [4, 5],
        "max_iou_moderate": [1, 2], "max_iou_hard": [3, 4],
    }  # fmt: skip
    assert not np.any(list(crowd_bands(np.array([np.nan])).values()))


def test_only_evaluated_persons_are_in_strata():
    rows = [*occluded_annotations(3, 3, 3), [0] * 17]
    gt = ground_truth_with(rows, is_crowd=[False, True, False, False], crowd_index=[0.1] * 4)
    stated = replace(gt, num_keypoints=np.array([17, 17, 0, 5]))
    for mask in person_strata(stated).values():
        assert mask.tolist() == [True, False, False, False]
    for mask in joint_masks(stated, COCO17).values():
        assert not mask[1:].any()


def test_the_most_occluded_third():
    gt = ground_truth_with([*occluded_annotations(*range(9), 17), [0] * 17], is_crowd=[False] * 9 + [True, False])
    assert np.flatnonzero(most_occluded(gt)).tolist() == [6, 7, 8]
    rounded_up = most_occluded(ground_truth_with(occluded_annotations(*range(10))))
    assert np.flatnonzero(rounded_up).tolist() == [6, 7, 8, 9]


def test_persons_without_occluded_joints_are_not_among_the_most_occluded():
    assert np.flatnonzero(most_occluded(ground_truth_with(occluded_annotations(*[0] * 8, 1)))).tolist() == [8]
    assert not most_occluded(ground_truth_with(occluded_annotations(0, 0, 0))).any()


def test_ties_of_the_most_occluded_are_resolved_by_the_lower_id():
    gt = ground_truth_with(occluded_annotations(4, 4, 4, 4, 4, 4), person_id=[5, 9, 2, 7, 1, 3])
    assert gt.person_id[most_occluded(gt)].tolist() == [2, 1]


def test_joint_masks():
    rows = [[0, 1, 2, 3] + [2] * 13, [3, 3, 1, 0] + [2] * 13]
    occluder = np.zeros((2, 17), dtype=np.int8)
    occluder[0, :4] = [Occluder.PERSON, Occluder.PERSON, Occluder.PERSON, Occluder.OBJECT]
    masks = joint_masks(ground_truth_with(rows, occluder=occluder), COCO17)
    index = {name: np.argwhere(mask[:, :4]).tolist() for name, mask in masks.items()}
    assert index["all"] == [[0, 1], [0, 2], [0, 3], [1, 0], [1, 1], [1, 2]]
    assert index["visible"] == [[0, 2]]
    assert index["occluded"] == [[0, 1], [0, 3], [1, 0], [1, 1], [1, 2]]
    assert index["relabelled"] == [[0, 3], [1, 0], [1, 1]]
    assert index["occluded_by_person"] == [[0, 1]]  # neither the unlabelled nor the visible one
    assert index["occluded_by_object"] == [[0, 3]]
    assert index["joint_nose"] == [[1, 0]]
    expected = {"all", "visible", "occluded", "relabelled", "occluded_by_person", "occluded_by_object"}
    assert set(masks) == expected | {f"joint_{name}" for name in COCO17.joints}


def test_accuracy_by_stratum_of_joints():
    gt = ground_truth_with(occluded_annotations(*range(9)))
    longer = gt.bbox_xywh[:, 2:].max(1)
    off = np.where(occluded_joints(gt.visibility), 0.2 * longer[:, None], 0.0)[..., None] * [1, 0]
    strata = strata_of(gt, results_at(gt, gt.keypoints_xy + off), np.arange(9), COCO17)
    assert strata["visible"] == {"joints": 9 * 17 - 36, "OKS": 1.0, "PCK": 1.0, "error": 0.0}
    assert (strata["occluded"]["joints"], strata["occluded"]["PCK"]) == (36, 0.0)
    error = (0.2 * longer / np.sqrt(gt.area) * np.arange(9)).sum() / 36
    assert strata["occluded"]["error"] == pytest.approx(error)
    variances = (2 * COCO17.sigma_array) ** 2
    similarity = [np.exp(-((0.2 * longer[p]) ** 2) / (2 * gt.area[p] * variances[:p])) for p in range(9)]
    assert strata["occluded"]["OKS"] == pytest.approx(np.concatenate(similarity).mean())
    assert strata["relabelled"]["joints"] == sum(count // 2 for count in range(9))
    assert strata["joint_nose"]["joints"] == 9
    assert strata["joint_nose"]["PCK"] == pytest.approx(1 / 9)
    assert strata["joint_right_ankle"]["PCK"] == 1.0


def test_pck_threshold():
    gt = ground_truth_with(
        occluded_annotations(0), bbox_xywh=[[0.0, 0.0, 50.0, 100.0]], keypoints_xy=np.zeros((1, 17, 2))
    )
    for off, pck in ((10.0, 1.0), (10.001, 0.0)):
        strata = strata_of(gt, results_at(gt, gt.keypoints_xy + [0, off]), np.array([0]), COCO17)
        assert strata["all"]["PCK"] == pck


@SKELETONS
def test_exact_visible_joints_and_random_occluded_joints(skeleton):
    rng = np.random.default_rng(3)
    count, joints = 3000, len(skeleton)
    gt = ground_truth_with(rng.integers(0, 4, (count, joints)), skeleton)
    occluder = rng.integers(0, 5, (count, joints)).astype(np.int8)
    gt = replace(gt, occluder=occluder, bbox_xywh=np.tile([0.0, 0.0, 100.0, 100.0], (count, 1)))
    gt = replace(gt, keypoints_xy=rng.uniform(0, 100, gt.keypoints_xy.shape))
    anywhere = rng.uniform(0, 100, gt.keypoints_xy.shape)
    visible = (gt.visibility == Visibility.VISIBLE)[..., None]
    results = results_at(gt, np.where(visible, gt.keypoints_xy, anywhere))
    strata = strata_of(gt, results, np.arange(count), skeleton)
    perfect = {"OKS": 1.0, "PCK": 1.0, "error": 0.0}
    assert strata["visible"] == {"joints": int(visible.sum()), **perfect}
    # Two random points of a unit square are within r with probability pi r^2 - 8 r^3 / 3 + r^4 / 2.
    chance = np.pi * 0.1**2 - 8 * 0.1**3 / 3 + 0.1**4 / 2
    for name in ("occluded", "relabelled", *(f"occluded_by_{n}" for n in ("object", "person", "self", "frame"))):
        spread = np.sqrt(chance / strata[name]["joints"])
        assert strata[name]["PCK"] == pytest.approx(chance, abs=4 * spread)
    ratio = strata["occluded"]["joints"] / strata["all"]["joints"]
    for metric, value in perfect.items():
        mixed = ratio * strata["occluded"][metric] + (1 - ratio) * value
        assert strata["all"][metric] == pytest.approx(mixed)


def test_only_persons_with_a_result_count_in_any_order():
    persons = people(COCO17, 12, seed=4)
    gt, results = ground_truth_of(persons, COCO17), results_of(predict(persons, 0.1), COCO17)
    every_person = strata_of(gt, results, np.arange(12), COCO17)
    order = np.random.default_rng(0).permutation(12)
    shuffled = strata_of(gt, results.take(order), order, COCO17)
    for name, metrics in every_person.items():
        assert shuffled[name] == pytest.approx(metrics, rel=1e-12)
    few = strata_of(gt, results, np.where(np.arange(12) < 5, np.arange(12), -1), COCO17)
    assert few["all"]["joints"] == (gt.visibility[:5] > 0).sum()
    assert few == strata_of(gt, results.take(np.arange(5)), np.arange(5), COCO17)


@SKELETONS
def test_no_persons_and_no_results(skeleton):
    no_persons = ground_truth_of([], skeleton)
    assert person_strata(no_persons) == joint_masks(no_persons, skeleton) == {}
    no_results, no_index = results_of([], skeleton), np.zeros(0, dtype=int)
    assert strata_of(no_persons, no_results, no_index, skeleton) == {}
    gt = ground_truth_of(people(skeleton, 4), skeleton)
    assert strata_of(gt, no_results, no_index, skeleton) == {}
    assert strata_of(gt, results_at(gt, gt.keypoints_xy), np.full(4, -1), skeleton) == {}


LEFT_SHOULDER, RIGHT_HIP, HEAD = (CROWDPOSE14.joints.index(n) for n in ("left_shoulder", "right_hip", "head"))


def athletes(count: int) -> GroundTruth:
    """Persons with a torso of 100 px, all joints labelled."""
    gt = ground_truth_with(np.full((count, 14), 2), CROWDPOSE14)
    keypoints_xy = gt.keypoints_xy.copy()
    keypoints_xy[:, RIGHT_HIP] = keypoints_xy[:, LEFT_SHOULDER] + [60, 80]
    return replace(gt, keypoints_xy=keypoints_xy)


def test_pck_of_the_torso():
    gt = athletes(4)
    off = np.zeros(gt.keypoints_xy.shape)
    off[0, HEAD] = [0, 19.99]
    off[1:, HEAD] = [0, 20.01]
    metrics = pck_torso(gt, results_at(gt, gt.keypoints_xy + off), np.arange(4), CROWDPOSE14)
    assert metrics["joint_head"] == {"joints": 4, "PCK": 0.25}
    assert metrics["joint_left_knee"] == {"joints": 4, "PCK": 1.0}
    assert metrics["all"] == {"instances": 4, "left_out": 0, "joints": 56, "PCK": pytest.approx(13.25 / 14)}


def test_pck_is_the_mean_over_joints_whatever_their_number_of_labels():
    gt = athletes(4)
    visibility = gt.visibility.copy()
    visibility[1:, HEAD] = 0
    off = np.where(np.arange(14) == HEAD, 500.0, 0.0)[None, :, None]
    metrics = pck_torso(
        replace(gt, visibility=visibility),
        results_at(gt, gt.keypoints_xy + off),
        np.arange(4),
        CROWDPOSE14,
    )
    assert metrics["joint_head"] == {"joints": 1, "PCK": 0.0}
    assert metrics["all"] == {"instances": 4, "left_out": 0, "joints": 53, "PCK": pytest.approx(13 / 14)}


def test_persons_without_a_torso_are_left_out_and_persons_without_a_result_are_incorrect():
    gt = athletes(6)
    visibility, keypoints_xy = gt.visibility.copy(), gt.keypoints_xy.copy()
    visibility[0, LEFT_SHOULDER] = visibility[1, RIGHT_HIP] = 0
    keypoints_xy[2, RIGHT_HIP] = keypoints_xy[2, LEFT_SHOULDER]
    is_crowd = np.arange(6) == 3
    gt = replace(gt, visibility=visibility, keypoints_xy=keypoints_xy, is_crowd=is_crowd)
    metrics = pck_torso(gt, results_at(gt, keypoints_xy), np.array([0, 1, 2, 3, -1, 5]), CROWDPOSE14)
    assert metrics["all"] == {"instances": 2, "left_out": 3, "joints": 28, "PCK": 0.5}
    assert metrics["joint_neck"] == {"joints": 2, "PCK": 0.5}


def test_no_torso():
    gt = ground_truth_of([], CROWDPOSE14)
    metrics = pck_torso(gt, results_of([], CROWDPOSE14), np.zeros(0, dtype=int), CROWDPOSE14)
    assert metrics == {"all": {"instances": 0, "left_out": 0, "joints": 0, "PCK": None}}
    with pytest.raises(UserError, match="lone: skeleton without a torso: expected left_shoulder, right_hip, got tail"):
        pck_torso(ground_truth_of([], LONE), results_of([], LONE), np.zeros(0, dtype=int), LONE)
