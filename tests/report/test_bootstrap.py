"""Bootstrap over images: metrics equal to the evaluation's own, and intervals of a known case."""

from dataclasses import replace

import numpy as np
import pytest

from dag.evaluation import Evaluation
from dag.evaluation.coco.arrays import GroundTruth, Results, ground_truth_of, results_of
from dag.evaluation.metrics import all_metrics, headline
from dag.report.bootstrap import all_images, count, interval, metrics, resample
from dag.skeleton import COCO17
from tests.toy import people, predict

COUNT = 60


def toy(error: float = 0.1, seed: int = 0) -> tuple[GroundTruth, Results]:
    persons = people(COCO17, COUNT)
    return ground_truth_of(persons, COCO17), results_of(predict(persons, error, seed), COCO17)


@pytest.mark.parametrize("boxes", ["own", "detected"])
def test_weights_of_1_give_the_headline_metrics(boxes):
    gt, results = toy()
    gt = replace(gt, crowd_index=np.linspace(0, 1, COUNT), visibility=gt.visibility.copy())
    gt.visibility[1] = 0
    gt = replace(gt, num_keypoints=(gt.visibility > 0).sum(1))
    results = results.take(np.arange(5, COUNT))
    if boxes == "detected":
        results = replace(results, person_id=np.full(len(results), -1))
    counts = count(Evaluation(gt, results, COCO17), all_images([Evaluation(gt, results, COCO17)]))
    resampled = metrics(counts, np.ones(COUNT // 2))
    expected = headline(all_metrics(Evaluation(gt, results, COCO17)))
    assert {"AP_easy", "AP_hard", "AP_most_occluded", "PCK_occluded", "swap", "AR_L"} <= set(resampled) & set(expected)
    both = sorted(set(resampled) & set(expected))
    assert [resampled[name] for name in both] == pytest.approx([expected[name] for name in both], abs=1e-14)
    assert (counts.number("AP"), counts.number("AP50"), counts.number("AR")) == (COUNT - 1,) * 3


def test_weights_are_copies_of_images():
    """An image of weight 2 equals the image and its copy."""
    gt, results = toy()
    weights = np.random.default_rng(3).integers(0, 3, COUNT // 2)
    drawn = np.repeat(np.arange(COUNT // 2), weights)
    rows = [(copy, person) for copy, image in enumerate(drawn) for person in np.flatnonzero(gt.image_id == image)]
    copies, chosen = np.array(rows).T
    persons = people(COCO17, COUNT)
    again = [replace(persons[k], image_id=int(c), person_id=n) for n, (c, k) in enumerate(rows)]
    copied = replace(results.take(chosen), image_id=copies, person_id=np.arange(len(rows)))
    expected = headline(all_metrics(Evaluation(ground_truth_of(again, COCO17), copied, COCO17)))
    resampled = metrics(count(Evaluation(gt, results, COCO17), gt.image_ids), weights.astype(float))
    names = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "PCK_visible", "PCK_occluded", "jitter", "miss")
    assert [resampled[name] for name in names] == pytest.approx([expected[name] for name in names], abs=1e-12)


def test_interval_of_a_proportion_and_reproducible_by_seed():
    """Half of the persons, one per image, are predicted exactly: AR is a proportion, with a known interval."""
    persons = [replace(one, image_id=number) for number, one in enumerate(people(COCO17, 400))]
    gt, results = ground_truth_of(persons, COCO17), results_of(predict(persons[:200], 0.0), COCO17)
    counts = count(Evaluation(gt, results, COCO17), gt.image_ids)
    drawn = resample([counts], 400, resamples=300, rng=np.random.default_rng(1))[0]["AR"]
    again, other = (resample([counts], 400, resamples=9, rng=np.random.default_rng(seed))[0]["AR"] for seed in (1, 2))
    assert again.tolist() == drawn[:9].tolist() != other.tolist()
    half = 1.96 * np.sqrt(0.25 / 400)
    assert interval(drawn) == pytest.approx((0.5 - half, 0.5 + half), abs=0.01)


def test_differences_are_paired():
    gt, results = toy()
    counts = count(Evaluation(gt, results, COCO17), gt.image_ids)
    first, second = resample([counts, counts], COUNT // 2, resamples=20, rng=np.random.default_rng(1))
    assert np.ptp(first["AP"]) > 0
    assert interval(second["AP"] - first["AP"]) == (0, 0)
