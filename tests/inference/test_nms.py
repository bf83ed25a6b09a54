"""NMS by OKS against HRNet's own results and a plain loop."""

from dataclasses import replace

import numpy as np
import pytest

from dag.evaluation.coco.arrays import Results
from dag.files import read_json
from dag.inference.nms import MAX_KEPT, SUPPRESSIONS, oks_nms, soft_oks_nms, suppress
from dag.skeleton import COCO17

SIGMAS = COCO17.sigma_array


def results_from(image_id, keypoints_xy, score):
    count = len(score)
    xy = np.asarray(keypoints_xy, dtype=float).reshape(count, 17, 2)
    scores = np.asarray(score, dtype=float)
    return Results(np.asarray(image_id, dtype=np.int64), np.full(count, -1), xy, np.ones((count, 17)), scores)


def random_results(seed, images=40):
    rng = np.random.default_rng(seed)
    image_id = rng.integers(0, images, 300)
    pose = rng.uniform(0, 300, (images, 3, 17, 2))
    xy = pose[image_id, rng.integers(0, 3, 300)] + rng.normal(0, 1, (300, 17, 2)) * rng.exponential(6, (300, 1, 1))
    return results_from(image_id, xy, np.round(rng.random(300), 2)), rng.uniform(50, 200, 300) ** 2


def similarity(results, area, one, other):
    squared = ((results.keypoints_xy[one] - results.keypoints_xy[other]) ** 2).sum(-1)
    return np.exp(-squared / (2 * SIGMAS) ** 2 / ((area[one] + area[other]) / 2 + np.spacing(1)) / 2).mean()


def plain_nms(results, area, threshold):
    kept = []
    for image in np.unique(results.image_id):
        indices = np.flatnonzero(results.image_id == image)
        kept_here = []
        for one in indices[np.argsort(-results.score[indices], kind="stable")]:
            if all(similarity(results, area, other, one) <= threshold for other in kept_here):
                kept_here.append(one)
        kept += kept_here
    return kept


@pytest.mark.parametrize(("name", "nms", "threshold"), [
    ("keep_0.9", oks_nms, 0.9), ("keep_0.5", oks_nms, 0.5), ("soft_keep_0.9", soft_oks_nms, 0.9),
])  # fmt: skip
def test_keeps_the_poses_that_hrnet_keeps(real_data, name, nms, threshold):
    images = read_json(real_data / "golden/oks_nms.json")
    sizes = [len(image["score"]) for image in images]
    first = np.cumsum([0, *sizes])
    results = results_from(
        np.repeat(np.arange(len(images)), sizes),
        np.concatenate([np.array(image["keypoints"]) for image in images]),
        np.concatenate([image["score"] for image in images]),
    )
    area = np.concatenate([np.array(image["area"], dtype=float) for image in images])
    expected = [index + start for image, start in zip(images, first) for index in image[name]]
    assert nms(results, area, SIGMAS, threshold).tolist() == expected


@pytest.mark.parametrize("threshold", [0.05, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_equals_a_plain_loop(seed, threshold):
    results, area = random_results(seed)
    kept = oks_nms(results, area, SIGMAS, threshold)
    assert kept.tolist() == plain_nms(results, area, threshold)
    assert len(kept) < 300 or threshold == 1.0


def test_keeps_the_copy_with_the_higher_score():
    xy = np.random.default_rng(0).uniform(0, 100, (17, 2))
    results = results_from([5, 5, 6], [xy, xy, xy], [0.2, 0.7, 0.1])
    assert oks_nms(results, np.full(3, 1e4), SIGMAS).tolist() == [1, 2]


def test_soft_nms_selects_by_decayed_score():
    """The copy of the best pose is selected last, although its own score is the second best; at most 20 are kept."""
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 3000, (30, 17, 2))
    score = np.linspace(0.9, 0.6, 30)
    xy[1] = xy[0]
    kept = soft_oks_nms(results_from(np.zeros(30), xy, score), np.full(30, 1e4), SIGMAS)
    assert kept.tolist() == [0, *range(2, 21)]
    assert len(kept) == MAX_KEPT
    few = soft_oks_nms(results_from(np.zeros(3), xy[:3], score[:3]), np.full(3, 1e4), SIGMAS)
    assert few.tolist() == [0, 2, 1]


def test_no_results():
    empty = results_from([], np.empty((0, 17, 2)), [])
    assert oks_nms(empty, np.empty(0), SIGMAS).tolist() == []
    assert soft_oks_nms(empty, np.empty(0), SIGMAS).tolist() == []


def test_suppress_treats_each_output_separately(toy_predictions):
    twice = [*toy_predictions[:10], *(replace(pose, score=pose.score / 2) for pose in toy_predictions[:10])]
    areas = np.full(20, 1e4)
    for nms in SUPPRESSIONS:
        kept = suppress(twice, areas, COCO17, nms=nms, threshold=0.9)
        assert {p.score for p in toy_predictions[:10]} <= {p.score for p in kept}
        assert len(kept) == (10 if nms == "hard" else 20)
    both = [*twice, *(replace(pose, output="graph") for pose in twice)]
    kept = suppress(both, areas, COCO17, nms="hard", threshold=0.9)
    assert [pose.output for pose in kept] == ["heatmap"] * 10 + ["graph"] * 10
