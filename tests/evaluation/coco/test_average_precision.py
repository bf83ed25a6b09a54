"""AP and AR against pycocotools, the metrics of xtcocotools, and worked answers."""

import gzip
import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dag.convert.coco import coco_dict, read_coco, write_coco
from dag.evaluation import Evaluation, evaluate_keypoints
from dag.evaluation.coco.arrays import ground_truth_of, results_of
from dag.evaluation.coco.average_precision import METRICS, average_precision, coco_metrics
from dag.evaluation.coco.files import read_ground_truth, read_results
from dag.evaluation.metrics import person_stratum_metrics
from dag.files import read_json, write_json
from dag.prediction import coco_results
from dag.skeleton import COCO17, CROWDPOSE14
from tests.coco_sets import pycocotools_metrics, random_set
from tests.imports import ROOT
from tests.toy import people, predict


def ours(content, results):
    gt, skeleton = read_ground_truth(content)
    return average_precision(gt, read_results(results, gt, skeleton), skeleton)


def assert_same(metrics, theirs):
    assert list(metrics) == list(METRICS)
    np.testing.assert_allclose([-1 if value is None else value for value in metrics.values()], theirs, atol=1e-12)


@pytest.mark.parametrize("seed", range(30))
def test_same_as_pycocotools_on_random_sets(seed):
    content, results = random_set(seed)
    assert_same(ours(content, results), pycocotools_metrics(content, results))


def test_same_as_pycocotools_on_many_images():
    content, results = random_set(99, num_images=5000)
    assert_same(ours(content, results), pycocotools_metrics(content, results))


@pytest.mark.parametrize("split", ["val", "train"])
def test_same_as_pycocotools_on_coco(real_data, split):
    content = read_json(real_data / f"data/coco/annotations/person_keypoints_{split}2017.json")
    results = read_json(real_data / f"data/coco/results/movenet_thunder_{split}2017_gt_boxes.json")
    assert_same(ours(content, results), pycocotools_metrics(content, results))
    rng = np.random.default_rng(0)
    for _ in range(10):
        shaken = [
            {
                **result,
                "keypoints": (np.array(result["keypoints"]) + rng.normal(0, rng.random() * 20, 51)).tolist(),
                "score": round(float(rng.random()), 1),
            }
            for result in results
            if rng.random() < 0.8
        ]
        assert_same(ours(content, shaken), pycocotools_metrics(content, shaken))


def test_example_of_xtcocotools(real_data):
    """jin-s13/xtcocoapi: its authors' evaluator and pycocotools agree on these."""
    folder = real_data / "data/evaluator"
    metrics: Any = evaluate_keypoints(folder / "example_coco_val.json", folder / "example_coco_preds.json")
    expected = {"AP": 0.8608896, "AP50": 0.9931455, "AP75": 0.9108911, "AP_M": 0.7755776, "AP_L": 0.9372525}
    for name, value in {**expected, "AR": 0.875}.items():
        assert metrics[name] == pytest.approx(value, abs=1e-7)
    theirs = pycocotools_metrics(*(read_json(folder / f"example_coco_{name}.json") for name in ("val", "preds")))
    np.testing.assert_allclose([metrics[name] for name in METRICS], theirs, atol=1e-12)


def test_crowdpose_as_xtcocotools(real_data):
    expected = read_json(real_data / "golden/crowdpose_val_expected.json")["stats"]
    with gzip.open(real_data / "golden/crowdpose_val_results.json.gz") as stream:
        results = json.load(stream)
    metrics: Any = evaluate_keypoints(real_data / "data/crowdpose/annotations/crowdpose_val.json", results, "crowdpose")
    names = ("AP", "AP50", "AP75", "AR", "AR50", "AR75")
    np.testing.assert_allclose([metrics[name] for name in names], expected[:6], atol=1e-12)
    assert [round(metrics[name] or 0, 4) for name in ("AP_easy", "AP_medium", "AP_hard")] == expected[6:]


@pytest.mark.parametrize("skeleton", [COCO17, CROWDPOSE14])
@pytest.mark.parametrize("first_id", [0, 1, 500])
def test_exact_predictions_score_1_whatever_the_ids(skeleton, first_id):
    persons = people(skeleton, 12, first_id=first_id)
    metrics = coco_metrics(persons, predict(persons, 0.0), skeleton)
    assert set(metrics.values()) == {1.0}


def test_sigmas_are_the_skeletons():
    """At the distance where OKS is .7 exactly 5 of the 10 thresholds (.5 to .95) are passed (.7 itself is not)."""
    persons = people(CROWDPOSE14, 1)
    person = replace(persons[0], visibility=np.full(14, 2, dtype=np.int8))
    distance = 2 * CROWDPOSE14.sigma_array * np.sqrt(-2 * np.log(0.699) * person.area)
    prediction = replace(
        predict([person], 0.0)[0], keypoints_xy=person.keypoints_xy + np.stack([distance, np.zeros(14)], 1)
    )
    assert coco_metrics([person], [prediction], CROWDPOSE14)["AP"] == pytest.approx(0.4)


def test_half_of_the_persons_predicted():
    persons = people(COCO17, 20)
    metrics = coco_metrics(persons, predict(persons[:10], 0.0), COCO17)
    assert metrics["AR"] == pytest.approx(0.5)
    assert metrics["AP"] == pytest.approx(51 / 101)


def test_no_predictions_are_0_and_no_evaluated_persons_are_none():
    persons = people(COCO17, 4)
    assert set(coco_metrics(persons, [], COCO17).values()) <= {0.0, None}
    assert coco_metrics(persons, [], COCO17)["AP"] == 0
    unlabelled = [replace(person, visibility=np.zeros(17, dtype=np.int8)) for person in persons]
    assert set(coco_metrics(unlabelled, [], COCO17).values()) == {None}
    assert set(coco_metrics([], predict(persons, 0.0), COCO17).values()) == {None}
    small = [replace(person, area=50.0**2) for person in persons]
    assert coco_metrics(small, predict(small, 0.0), COCO17)["AP_L"] is None


def test_images_without_persons_count():
    """A pose in an image without persons lowers precision if its score is higher than those of the true positives."""
    persons = people(COCO17, 2)
    correct = [replace(pose, score=0.5) for pose in predict(persons, 0.0)]
    false_positive = replace(correct[0], image_id=77, person_id=-1, score=0.9)
    gt, results = ground_truth_of(persons, COCO17, image_ids=[77]), results_of([*correct, false_positive], COCO17)
    assert average_precision(gt, results, COCO17)["AP"] == pytest.approx(2 / 3)


def test_ap_of_a_stratum_counts_its_persons_only():
    persons = people(COCO17, 12)
    gt, first = ground_truth_of(persons, COCO17), np.arange(12) < 6
    strata = {"first": first, "last": ~first}
    good, bad = predict(persons, 0.0), predict(persons, 9.0)
    for poses, expected in ((good[:6] + bad[6:], (1.0, 0.0)), (bad[:6] + good[6:], (0.0, 1.0))):
        metrics = person_stratum_metrics(Evaluation(gt, results_of(poses, COCO17), COCO17, strata))
        assert (metrics["first"]["AP"], metrics["last"]["AP"]) == expected
        assert metrics["first"]["instances"] == 6


def test_unmatched_results_of_a_detector_count_in_the_strata_of_their_image():
    """As in CrowdPose's evaluator: a pose that matches no person is a false positive in the band of its image."""
    persons = people(COCO17, 8)
    gt, first = ground_truth_of(persons, COCO17), np.arange(8) < 4
    correct = [replace(pose, score=0.5, person_id=-1) for pose in predict(persons, 0.0)]
    false_positive = replace(predict(persons, 9.0)[0], person_id=-1, score=0.9)
    results = results_of([*correct, false_positive], COCO17)
    metrics = person_stratum_metrics(Evaluation(gt, results, COCO17, {"first": first, "last": ~first}))
    assert metrics["first"]["AP"] == pytest.approx(4 / 5)
    assert metrics["last"]["AP"] == 1.0


def test_files_their_content_and_annotations_give_the_same_metrics(tmp_path):
    persons = people(COCO17, 10)
    results = coco_results(predict(persons, 0.1))
    write_coco(tmp_path / "ground_truth.json", persons, COCO17)
    write_json(tmp_path / "results.json", results)
    content = coco_dict(persons, COCO17)
    before = json.dumps([content, results])
    expected = evaluate_keypoints(content, results)
    assert evaluate_keypoints(tmp_path / "ground_truth.json", tmp_path / "results.json") == expected
    assert json.dumps([content, results]) == before
    assert {name: expected[name] for name in METRICS} == coco_metrics(persons, predict(persons, 0.1), COCO17)


def test_annotations_of_coco_give_the_same_metrics_as_the_file(real_data):
    path = real_data / "data/coco/annotations/person_keypoints_val2017.json"
    results = real_data / "data/coco/results/movenet_thunder_val2017_gt_boxes.json"
    persons, _ = read_coco(path, dataset="coco", split="val", skeleton=COCO17, image_folder="")
    assert evaluate_keypoints(coco_dict(persons, COCO17), results) == evaluate_keypoints(path, results)


def test_evaluation_needs_no_torch():
    modules = "dag.evaluation.metrics, dag.inference.mean_pose, dag.evaluation.coco.files"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
