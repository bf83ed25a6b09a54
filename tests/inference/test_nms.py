"""Suppression against HRNet's own answers and a plain loop."""

import numpy as np
import pytest

from dag.evaluation.coco.arrays import Results
from dag.files import read_json
from dag.inference.nms import MAX_KEPT, oks_nms, soft_oks_nms
from dag.skeleton import COCO17

SIGMAS = COCO17.sigma_array


def results(image_id, keypoints_xy, score):
    count = len(score)
    xy = np.asarray(keypoints_xy, dtype=float).reshape(count, 17, 2)
    scores = np.asarray(score, dtype=float)
    return Results(np.asarray(image_id, dtype=np.int64), np.full(count, -1), xy, np.ones((count, 17)), scores)


def random_results(seed, images=40):
    rng = np.random.default_rng(seed)
    image_id = rng.integers(0, images, 300)
    pose = rng.uniform(0, 300, (images, 3, 17, 2))
    xy = pose[image_id, rng.integers(0, 3, 300)] + rng.normal(0, 1, (300, 17, 2)) * rng.exponential(6, (300, 1, 1))
    return results(image_id, xy, np.round(rng.random(300), 2)), rng.uniform(50, 200, 300) ** 2


def similarity(found, area, one, other):
    squared = ((found.keypoints_xy[one] - found.keypoints_xy[other]) ** 2).sum(-1)
    return np.exp(-squared / (2 * SIGMAS) ** 2 / ((area[one] + area[other]) / 2 + np.spacing(1)) / 2).mean()


def plain_nms(found, area, threshold):
    kept = []
    for image in np.unique(found.image_id):
        here = np.flatnonzero(found.image_id == image)
        chosen = []
        for one in here[np.argsort(-found.score[here], kind="stable")]:
            if all(similarity(found, area, other, one) <= threshold for other in chosen):
                chosen.append(one)
        kept += chosen
    return kept


@pytest.mark.parametrize(("name", "suppress", "threshold"), [
    ("keep_0.9", oks_nms, 0.9), ("keep_0.5", oks_nms, 0.5), ("soft_keep_0.9", soft_oks_nms, 0.9),
])  # fmt: skip
def test_keeps_what_hrnet_keeps(real_data, name, suppress, threshold):
    sets = read_json(real_data / "golden/oks_nms.json")
    sizes = [len(one["score"]) for one in sets]
    first = np.cumsum([0, *sizes])
    found = results(
        np.repeat(np.arange(len(sets)), sizes),
        np.concatenate([np.array(one["keypoints"]) for one in sets]),
        np.concatenate([one["score"] for one in sets]),
    )
    area = np.concatenate([np.array(one["area"], dtype=float) for one in sets])
    expected = [place + start for one, start in zip(sets, first) for place in one[name]]
    assert suppress(found, area, SIGMAS, threshold).tolist() == expected


@pytest.mark.parametrize("threshold", [0.05, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_as_a_plain_loop(seed, threshold):
    found, area = random_results(seed)
    kept = oks_nms(found, area, SIGMAS, threshold)
    assert kept.tolist() == plain_nms(found, area, threshold)
    assert len(kept) < 300 or threshold == 1.0


def test_the_better_of_two_copies_stays():
    xy = np.random.default_rng(0).uniform(0, 100, (17, 2))
    found = results([5, 5, 6], [xy, xy, xy], [0.2, 0.7, 0.1])
    assert oks_nms(found, np.full(3, 1e4), SIGMAS).tolist() == [1, 2]


def test_soft_suppression_keeps_the_first_by_falling_score():
    """The copy of the best pose is chosen last, though its own score is the second best; 20 stay at most."""
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 3000, (30, 17, 2))
    score = np.linspace(0.9, 0.6, 30)
    xy[1] = xy[0]
    kept = soft_oks_nms(results(np.zeros(30), xy, score), np.full(30, 1e4), SIGMAS)
    assert kept.tolist() == [0, *range(2, 21)]
    assert len(kept) == MAX_KEPT
    few = soft_oks_nms(results(np.zeros(3), xy[:3], score[:3]), np.full(3, 1e4), SIGMAS)
    assert few.tolist() == [0, 2, 1]


def test_nothing_stays_nothing():
    empty = results([], np.empty((0, 17, 2)), [])
    assert oks_nms(empty, np.empty(0), SIGMAS).tolist() == []
    assert soft_oks_nms(empty, np.empty(0), SIGMAS).tolist() == []
