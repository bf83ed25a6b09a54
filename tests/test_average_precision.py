"""COCO metrics: published figures, worked answers, and the same as pycocotools on random data."""

import contextlib
import io
import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from dag.data.coco_json import coco_dict, read_coco, write_coco
from dag.errors import UserError
from dag.evaluation import evaluate_keypoints
from dag.evaluation.average_precision import METRICS, coco_metrics, results_list
from dag.files import write_json
from dag.skeleton import COCO17, CROWDPOSE14
from tests.imports import ROOT
from tests.toy import people, predict


def pycocotools_metrics(content: dict[str, Any], results: Any) -> list[float]:
    with contextlib.redirect_stdout(io.StringIO()):
        truth: Any = COCO()
        truth.dataset = {"info": {}, **content}
        truth.createIndex()
        evaluation: Any = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return list(evaluation.stats)


def test_same_as_pycocotools():
    persons = people(COCO17, 40)
    predictions = predict(persons, 0.1)
    ours = coco_metrics(persons, predictions, COCO17)
    theirs = pycocotools_metrics(coco_dict(persons, COCO17), results_list(predictions))
    assert list(ours) == list(METRICS)
    assert list(ours.values()) == theirs
    assert ours["AP"] is not None
    assert 0.1 < ours["AP"] < 0.9


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


def test_half_of_the_people_found():
    persons = people(COCO17, 20)
    metrics = coco_metrics(persons, predict(persons[:10], 0.0), COCO17)
    assert metrics["AR"] == pytest.approx(0.5)
    assert metrics["AP"] == pytest.approx(51 / 101)


def test_nothing_found_is_0_and_nobody_to_find_is_none():
    persons = people(COCO17, 4)
    assert coco_metrics(persons, [], COCO17)["AP"] == 0
    unlabelled = [replace(person, visibility=np.zeros(17, dtype=np.int8)) for person in persons]
    assert set(coco_metrics(unlabelled, [], COCO17).values()) == {None}
    small = [replace(person, area=50.0**2) for person in persons]
    assert coco_metrics(small, predict(small, 0.0), COCO17)["AP_L"] is None


def test_files_and_contents_give_the_same(tmp_path):
    persons = people(COCO17, 10)
    results = results_list(predict(persons, 0.1))
    write_coco(tmp_path / "truth.json", persons, COCO17)
    write_json(tmp_path / "results.json", results)
    content = coco_dict(persons, COCO17)
    before = json.dumps([content, results])
    expected = coco_metrics(persons, predict(persons, 0.1), COCO17)
    assert evaluate_keypoints(tmp_path / "truth.json", tmp_path / "results.json") == expected
    assert evaluate_keypoints(content, results) == expected
    assert json.dumps([content, results]) == before


def test_annotations_without_counts_and_crowd_flags_are_counted():
    persons = people(COCO17, 10)
    content = coco_dict(persons, COCO17)
    for annotation in content["annotations"]:
        del annotation["num_keypoints"], annotation["iscrowd"]
    expected = coco_metrics(persons, predict(persons, 0.1), COCO17)
    assert evaluate_keypoints(content, results_list(predict(persons, 0.1))) == expected


def _result(**change):
    return {"image_id": 0, "category_id": 1, "keypoints": [0.0] * 51, "score": 1.0} | change


BAD = [
    ({"results": [_result(image_id=99)]}, r"result 0: unknown image: expected an image id of the ground truth, got 99"),
    (
        {"results": [_result(), _result(keypoints=[1.0] * 42)]},
        r"result 1: keypoint list of wrong length: expected 51 \(coco17\), got 42",
    ),
    ({"results": [{"image_id": 0}]}, r"result 0: key missing: expected .*category_id.*, got no category_id"),
    ({"results": "params.yaml"}, r"params.yaml: not a json file"),
    ({"ground_truth": {"images": []}}, r"not COCO annotations: expected images, annotations, categories"),
    ({"protocol": "mpii"}, r"^unknown protocol: expected one of coco, got 'mpii'$"),
    ({"results": "nowhere.json"}, r"nowhere.json: no such file"),
]


@pytest.mark.parametrize(("change", "text"), BAD)
def test_bad_input_is_one_line(change, text):
    options: Any = {"ground_truth": coco_dict(people(COCO17, 2), COCO17), "results": [_result()]} | change
    with pytest.raises(UserError, match=text):
        evaluate_keypoints(**options)


@pytest.mark.parametrize("content", [{}, [1]])
def test_a_file_without_results_is_refused(tmp_path, content):
    write_json(tmp_path / "results.json", content)
    got = type(content).__name__
    with pytest.raises(UserError, match=f"results.json: not COCO results: expected a list of results, got {got}"):
        evaluate_keypoints(coco_dict(people(COCO17, 2), COCO17), tmp_path / "results.json")


def test_unknown_joints_are_refused():
    content = coco_dict(people(COCO17, 2), COCO17)
    content["categories"][0]["keypoints"] = ["tail"]
    with pytest.raises(
        UserError, match=r"unknown joints in the first category: expected coco17: nose, .*got \['tail'\]"
    ):
        evaluate_keypoints(content, [])


def test_published_example(real_data):
    """jin-s13/xtcocoapi: its authors' evaluator and pycocotools agree on these."""
    folder = real_data / "data/evaluator"
    metrics = evaluate_keypoints(folder / "example_coco_val.json", folder / "example_coco_preds.json")
    expected = {"AP": 0.8608896, "AP50": 0.9931455, "AP75": 0.9108911, "AP_M": 0.7755776, "AP_L": 0.9372525}
    for name, value in {**expected, "AR": 0.875}.items():
        assert metrics[name] == pytest.approx(value, abs=1e-7)


@pytest.mark.parametrize(("split", "ap"), [("val", 0.4931), ("train", 0.4467)])
def test_somebody_elses_results(real_data, split, ap):
    path = real_data / f"data/coco/annotations/person_keypoints_{split}2017.json"
    results = real_data / f"data/coco/results/movenet_thunder_{split}2017_gt_boxes.json"
    metrics = evaluate_keypoints(path, results)
    assert metrics["AP"] == pytest.approx(ap, abs=5e-5)
    persons, _ = read_coco(path, dataset="coco", split=split, skeleton=COCO17, image_folder="")
    assert evaluate_keypoints(coco_dict(persons, COCO17), results) == metrics


def test_evaluation_needs_no_torch():
    modules = "dag.evaluation, dag.evaluation.protocol, dag.evaluation.mean_pose, dag.evaluation.occlusion"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
