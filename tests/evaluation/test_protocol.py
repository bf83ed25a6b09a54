"""Metrics of all outputs side by side, and the files of a protocol."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from dag.evaluation.protocol import SUPPRESSIONS

from dag.annotation import read_split, write_annotations
from dag.boxes import evaluated_persons
from dag.convert.coco import write_coco
from dag.errors import UserError
from dag.evaluation import evaluate_keypoints
from dag.evaluation.coco.arrays import ground_truth_of, results_by_output
from dag.evaluation.coco.average_precision import coco_metrics
from dag.evaluation.metrics import all_metrics, protocol_metrics
from dag.inference.nms import suppress
from dag.prediction import read_predictions, write_prediction_folder, write_submission
from dag.skeleton import COCO17
from tests.toy import people, predict


@pytest.fixture
def rows():
    """Ten people, one more without keypoints, and a crowd."""
    persons = people(COCO17, 12)
    persons[10] = replace(persons[10], visibility=np.zeros(17, dtype=np.int8))
    persons[11] = replace(persons[11], is_crowd=True)
    return persons


@pytest.fixture
def predictions(rows):
    heatmap = predict(evaluated_persons(rows), 0.1)
    graph = predict(evaluated_persons(rows), 0.03, seed=1)
    return heatmap + [replace(prediction, output="graph") for prediction in graph]


def test_people_without_keypoints_and_crowds_are_not_predicted(rows):
    assert [person.person_id for person in evaluated_persons(rows)] == list(range(1, 11))


@pytest.fixture
def metrics(rows, predictions):
    gt = ground_truth_of(rows, COCO17)
    return {name: all_metrics(gt, found, COCO17) for name, found in results_by_output(predictions, COCO17).items()}


def test_metrics_are_the_headline_of_one_output(rows, predictions, metrics):
    metrics = protocol_metrics(metrics, "graph")
    assert (metrics["output"], metrics["instances"]) == ("graph", 10)
    assert metrics["AP"] == metrics["graph"]["AP"] > metrics["heatmap"]["AP"]
    assert metrics["heatmap"]["AP"] == coco_metrics(rows, predictions[:10], COCO17)["AP"]
    assert set(metrics["heatmap"]) == {"AP", "AP_most_occluded"}
    kinds = metrics["graph"]["diagnosis"]["all"]
    assert [metrics[kind] for kind in ("jitter", "inversion", "swap", "miss")] == [
        kinds[kind] for kind in ("jitter", "inversion", "swap", "miss")
    ]
    assert metrics["PCK_occluded"] == metrics["graph"]["joints"]["occluded"]["PCK"]
    json.dumps(metrics, allow_nan=False)
    json.dumps(metrics, allow_nan=False)


def test_the_heatmap_takes_the_place_of_a_graph_that_is_not_there(metrics):
    metrics = protocol_metrics({"heatmap": metrics["heatmap"]}, "graph")
    assert metrics["output"] == "heatmap"
    assert metrics["AP"] == metrics["heatmap"]["AP"]


def test_mending_never_harms(metrics):
    for one in metrics.values():
        assert all(better >= one["AP"] for better in one["corrected"].values())


def test_suppression_leaves_the_better_of_two_boxes_in_each_output(rows, predictions):
    twice = [*predictions[:10], *(replace(pose, score=pose.score / 2) for pose in predictions[:10])]
    areas = np.full(20, 1e4)
    for nms in SUPPRESSIONS:
        kept = suppress(twice, areas, COCO17, nms=nms, threshold=0.9)
        assert {p.score for p in predictions[:10]} <= {p.score for p in kept}
        assert len(kept) == (10 if nms == "hard" else 20)
    both = suppress(
        [*twice, *(replace(pose, output="graph") for pose in twice)], areas, COCO17, nms="hard", threshold=0.9
    )
    assert [pose.output for pose in both] == ["heatmap"] * 10 + ["graph"] * 10


def test_submission_is_what_the_server_takes(tmp_path, predictions):
    path = write_submission(tmp_path, predictions[:3], split="test-dev", name="dag-w32")
    assert path.name == "person_keypoints_test-dev2017_dag-w32_results.zip"
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["person_keypoints_test-dev2017_dag-w32_results.json"]
        entries = json.loads(archive.read(archive.namelist()[0]))
    assert [set(entry) for entry in entries] == [{"image_id", "category_id", "keypoints", "score"}] * 3
    assert entries[1]["keypoints"][:2] == predictions[1].keypoints_xy[0].tolist()
    with pytest.raises(UserError, match="no predictions to submit"):
        write_submission(tmp_path, [], split="test-dev", name="x")
    with pytest.raises(UserError, match=r"not a name: expected letters.*got '../x'"):
        write_submission(tmp_path, predictions, split="test-dev", name="../x")


def test_a_split_without_annotations_has_no_rows(tmp_path, rows):
    write_annotations(tmp_path / "rows.parquet", rows, COCO17)
    assert read_split(tmp_path / "rows.parquet", "test-dev") == ([], COCO17)
    assert len(read_split(tmp_path / "rows.parquet", "val")[0]) == 12


def test_files_hold_what_was_predicted(tmp_path, rows, predictions):
    write_prediction_folder(tmp_path / "out", predictions, COCO17)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "graph.json",
        "heatmap.json",
        "predictions.parquet",
    ]
    again, skeleton = read_predictions(tmp_path / "out/predictions.parquet")
    assert skeleton == COCO17
    assert [(p.output, p.person_id) for p in again] == [(p.output, p.person_id) for p in predictions]
    write_coco(tmp_path / "ground_truth.json", rows, COCO17)
    for output, found in (("heatmap", predictions[:10]), ("graph", predictions[10:])):
        metrics = evaluate_keypoints(tmp_path / "ground_truth.json", tmp_path / f"out/{output}.json")
        assert metrics["AP"] == coco_metrics(rows, found, COCO17)["AP"]
    results = json.loads((tmp_path / "out/graph.json").read_text())
    assert results[0]["person_id"] == 1
    assert results[0]["keypoints"][2] == predictions[10].joint_scores[0]


def test_the_same_predictions_give_the_same_bytes(tmp_path, predictions):
    for name in ("one", "two"):
        write_prediction_folder(tmp_path / name, predictions, COCO17)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
