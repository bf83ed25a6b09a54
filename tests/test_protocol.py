"""Figures of all outputs side by side, and the files of a protocol."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dag.data.coco_json import write_coco
from dag.evaluation import evaluate_keypoints
from dag.evaluation.average_precision import coco_metrics
from dag.evaluation.protocol import evaluated_people, protocol_metrics, write_protocol
from dag.prediction import read_predictions
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
    heatmap = predict(evaluated_people(rows), 0.1)
    graph = predict(evaluated_people(rows), 0.03, seed=1)
    return heatmap + [replace(prediction, output="graph") for prediction in graph]


def test_people_without_keypoints_and_crowds_are_not_predicted(rows):
    assert [person.person_id for person in evaluated_people(rows)] == list(range(1, 11))


def test_every_output_has_its_figures(rows, predictions):
    metrics = protocol_metrics(rows, predictions, COCO17, "graph")
    assert list(metrics) == ["output", "AP", "people", "heatmap", "graph"]
    assert (metrics["output"], metrics["people"]) == ("graph", 10)
    assert metrics["AP"] == metrics["graph"]["AP"] > metrics["heatmap"]["AP"]
    assert metrics["heatmap"]["AP"] == coco_metrics(rows, predictions[:10], COCO17)["AP"]
    assert set(metrics["graph"]["joints"]) == {"visible", "hidden"}
    json.dumps(metrics, allow_nan=False)


def test_the_heatmap_takes_the_place_of_a_graph_that_is_not_there(rows, predictions):
    metrics = protocol_metrics(rows, predictions[:10], COCO17, "graph")
    assert metrics["output"] == "heatmap"
    assert metrics["AP"] == metrics["heatmap"]["AP"]


def test_files_hold_what_was_predicted(tmp_path, rows, predictions):
    write_protocol(tmp_path / "out", predictions, COCO17)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "graph.json",
        "heatmap.json",
        "predictions.parquet",
    ]
    again, skeleton = read_predictions(tmp_path / "out/predictions.parquet")
    assert skeleton == COCO17
    assert [(p.output, p.person_id) for p in again] == [(p.output, p.person_id) for p in predictions]
    write_coco(tmp_path / "truth.json", rows, COCO17)
    for output, found in (("heatmap", predictions[:10]), ("graph", predictions[10:])):
        metrics = evaluate_keypoints(tmp_path / "truth.json", tmp_path / f"out/{output}.json")
        assert metrics == coco_metrics(rows, found, COCO17)
    results = json.loads((tmp_path / "out/graph.json").read_text())
    assert results[0]["person_id"] == 1
    assert results[0]["keypoints"][2] == predictions[10].joint_scores[0]


def test_the_same_predictions_give_the_same_bytes(tmp_path, predictions):
    for name in ("one", "two"):
        write_protocol(tmp_path / name, predictions, COCO17)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
