"""COCO files of any origin: an error is one line that names the entry."""

from typing import Any

import numpy as np
import pytest

from dag.convert.coco import coco_dict
from dag.errors import UserError
from dag.evaluation import evaluate_keypoints
from dag.evaluation.coco.files import read_ground_truth, read_results
from dag.files import write_json
from dag.prediction import coco_results
from dag.skeleton import COCO17, CROWDPOSE14, Skeleton
from tests.toy import people, predict


def _result(**change):
    return {"image_id": 0, "category_id": 1, "keypoints": [0.0] * 51, "score": 1.0} | change


def _ground_truth(**change):
    content = coco_dict(people(COCO17, 2), COCO17)
    content["annotations"][1] |= change
    return content


def _without(key):
    content = coco_dict(people(COCO17, 2), COCO17)
    del content["annotations"][1][key]
    return content


BAD = {
    "unknown image": ({"results": [_result(image_id=99)]}, "results, result 0: unknown image: .*, got 99"),
    "too short": (
        {"results": [_result(), _result(keypoints=[1.0] * 42)]},
        "results, result 1: keypoints of wrong length: expected 51, got 42",
    ),
    "key missing": ({"results": [{"image_id": 0}]}, "results, result 0: not COCO results: .*missing .*`category_id`"),
    "text": ({"results": [_result(keypoints=["1"] * 51)]}, "results, result 0: not COCO results: .*`float`, got `str`"),
    "boxes": (
        {"results": [{"image_id": 0, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 1.0}]},
        "results, result 0: not COCO results: .*missing .*`keypoints`",
    ),
    "nan": ({"results": [_result(keypoints=[np.nan] * 51)]}, "result 0: keypoints not finite: .*, got nan"),
    "infinite score": ({"results": [_result(score=np.inf)]}, "result 0: score not finite: .*, got inf"),
    "copy": ({"results": [_result(), _result(score=0.1), _result()]}, "result 2: duplicate pose: .*result 0"),
    "an object": ({"results": [_result(score=object())]}, "results: not COCO results: .*object"),
    "no list": ({"results": "params.yaml"}, "params.yaml: not a json file"),
    "no file": ({"results": "nowhere.json"}, "nowhere.json: no such file"),
    "no annotations": (
        {"ground_truth": {"images": []}},
        "ground truth: not COCO annotations: .*missing .*annotations",
    ),
    "no area": ({"ground_truth": _without("area")}, "annotation 1: no area: .*"),
    "no box": ({"ground_truth": _without("bbox")}, "ground truth, annotation 1: not COCO annotations: .*`bbox`"),
    "annotation of no image": ({"ground_truth": _ground_truth(image_id=9)}, "annotation 1: unknown image: .*, got 9"),
    "annotation too short": (
        {"ground_truth": _ground_truth(keypoints=[1] * 50)},
        "annotation 1: keypoints of wrong length",
    ),
    "id twice": ({"ground_truth": _ground_truth(id=1)}, "ground truth: duplicate annotation id: .*, got 1"),
    "two categories": (
        {"ground_truth": _ground_truth(category_id=2)},
        r"annotations of several categories: .*\[1, 2\]",
    ),
    "protocol": (
        {"protocol": "mpii"},
        "^unknown protocol: expected one of coco, crowdpose, ochuman, lsp_extended, synthetic, got 'mpii'$",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(name):
    change, text = BAD[name]
    options: Any = {"ground_truth": coco_dict(people(COCO17, 2), COCO17), "results": [_result()], **change}
    with pytest.raises(UserError, match=text) as caught:
        evaluate_keypoints(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [{}, [1]])
def test_a_file_without_results_is_refused(tmp_path, content):
    write_json(tmp_path / "results.json", content)
    with pytest.raises(UserError, match=r"results.json[^:]*: not COCO results"):
        evaluate_keypoints(coco_dict(people(COCO17, 2), COCO17), tmp_path / "results.json")


def test_nan_in_a_file_is_refused(tmp_path):
    (tmp_path / "results.json").write_text('[{"image_id": 0, "category_id": 1, "keypoints": [NaN], "score": 1}]')
    with pytest.raises(UserError, match=r"results.json: not a json file \(json has no NaN or Infinity\)"):
        evaluate_keypoints(coco_dict(people(COCO17, 2), COCO17), tmp_path / "results.json")


def test_unknown_joints_need_a_skeleton():
    content = coco_dict(people(COCO17, 2), COCO17)
    content["categories"][0]["keypoints"] = ["tail"]
    with pytest.raises(UserError, match=r"unknown joints in the first category: .*coco17: nose, .*got \['tail'\]"):
        evaluate_keypoints(content, [])
    fox = Skeleton("fox", ("tail",), (), (), (0.1,))
    for annotation in content["annotations"]:
        annotation["keypoints"] = [5, 5, 2]
    assert evaluate_keypoints(content, [], skeleton=fox)["AP"] == 0


def test_metrics_without_results_are_0():
    metrics = evaluate_keypoints(coco_dict(people(COCO17, 20), COCO17), [])
    assert {metrics[name] for name in ("AP", "AP50", "AP75", "AR", "AR50", "AR75")} == {0.0}
    assert metrics["diagnosis.all.joints"] == 0
    assert metrics["diagnosis.all.not_predicted"] == sum(p.num_keypoints for p in people(COCO17, 20))


def test_missing_counts_and_crowd_flags_are_derived():
    content = coco_dict(people(COCO17, 10), COCO17)
    gt, _ = read_ground_truth(content)
    for annotation in content["annotations"]:
        del annotation["num_keypoints"], annotation["iscrowd"]
    again, _ = read_ground_truth(content)
    np.testing.assert_array_equal(gt.num_keypoints, again.num_keypoints)
    np.testing.assert_array_equal(gt.is_crowd, again.is_crowd)


def test_arrays_hold_the_annotations_and_results():
    persons = people(CROWDPOSE14, 6)
    content = coco_dict(persons, CROWDPOSE14)
    content["images"][0]["crowdIndex"] = 0.4
    gt, skeleton = read_ground_truth(content, area_from_box=True)
    assert skeleton == CROWDPOSE14
    np.testing.assert_allclose(gt.area, [0.53 * p.bbox_xywh[2:].prod() for p in persons])
    np.testing.assert_array_equal(gt.person_id, [p.person_id for p in persons])
    np.testing.assert_array_equal(gt.crowd_index, [0.4, 0.4] + [np.nan] * 4)
    predictions = predict(persons, 0.1)
    results = read_results(coco_results(predictions), gt, skeleton)
    np.testing.assert_array_equal(results.keypoints_xy, [p.keypoints_xy for p in predictions])
    np.testing.assert_array_equal(results.person_id, [p.person_id for p in persons])
