"""OKS against worked answers and pycocotools."""

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from dag.evaluation.coco.oks import joint_similarity, oks
from dag.skeleton import COCO17

SIGMAS = COCO17.sigma_array


def test_exact_prediction_is_1_and_distance_k_is_exp_minus_a_half():
    gt_xy = np.random.default_rng(0).uniform(0, 100, (17, 2))
    area = np.array(400.0)
    np.testing.assert_array_equal(joint_similarity(gt_xy, gt_xy, area, SIGMAS), np.ones(17))
    away = gt_xy + np.stack([2 * SIGMAS * 20, np.zeros(17)], axis=1)
    np.testing.assert_allclose(joint_similarity(away, gt_xy, area, SIGMAS), np.exp(-0.5))


def test_only_labelled_joints_count_and_none_labelled_is_nan():
    gt_xy = np.zeros((2, 17, 2))
    predicted_xy = np.zeros((2, 17, 2))
    predicted_xy[0, 3:] = 1e6
    visibility = np.zeros((2, 17), dtype=np.int8)
    visibility[0, :4] = [1, 2, 3, 2]
    similarity = oks(predicted_xy, gt_xy, visibility, np.array([100.0, 100.0]), SIGMAS)
    assert similarity[0] == pytest.approx(3 / 4)
    assert np.isnan(similarity[1])


def test_every_pair_equals_pycocotools():
    rng = np.random.default_rng(1)
    gt_xy = rng.uniform(0, 100, (4, 17, 2))
    visibility = rng.integers(0, 3, (4, 17)).astype(np.int8)
    area = rng.uniform(100, 2000, 4)
    predicted_xy = gt_xy[rng.integers(0, 4, 6)] + rng.normal(0, 4, (6, 17, 2))
    ours = oks(predicted_xy[:, None], gt_xy[None], visibility[None], area[None], SIGMAS)
    np.testing.assert_allclose(ours, pycocotools_oks(predicted_xy, gt_xy, visibility, area), atol=1e-12)


def pycocotools_oks(predicted_xy, gt_xy, visibility, area):
    base = {"image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [0, 0, 100, 100]}
    annotations = [
        {**base, "id": n + 1, "num_keypoints": 1, "area": area[n],
         "keypoints": np.column_stack([gt_xy[n], visibility[n]]).ravel().tolist()}
        for n in range(len(gt_xy))
    ]  # fmt: skip
    results: Any = [
        {"image_id": 1, "category_id": 1, "score": 1.0 - 0.1 * n,
         "keypoints": np.column_stack([xy, np.ones(17)]).ravel().tolist()}
        for n, xy in enumerate(predicted_xy)
    ]  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        gt: Any = COCO()
        gt.dataset = {
            "info": {},
            "images": [{"id": 1}],
            "categories": [{"id": 1}],
            "annotations": annotations,
        }
        gt.createIndex()
        evaluation = COCOeval(gt, gt.loadRes(results), "keypoints")
        evaluation.evaluate()
    return evaluation.ious[1, 1]
