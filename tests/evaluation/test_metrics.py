"""All metrics of an evaluation, and the headline metrics of a protocol."""

import json

import pytest

from dag.boxes import evaluated_persons
from dag.evaluation import Evaluation
from dag.evaluation.coco.arrays import ground_truth_of, results_by_output
from dag.evaluation.coco.average_precision import coco_metrics
from dag.evaluation.metrics import all_metrics, protocol_metrics
from dag.skeleton import COCO17


@pytest.fixture
def metrics(toy_persons, toy_predictions):
    gt = ground_truth_of(toy_persons, COCO17)
    return {
        name: all_metrics(Evaluation(gt, results, COCO17))
        for name, results in results_by_output(toy_predictions, COCO17).items()
    }


def test_persons_without_keypoints_and_crowds_are_not_evaluated(toy_persons):
    assert [person.person_id for person in evaluated_persons(toy_persons)] == list(range(1, 11))


def test_metrics_are_the_headline_of_one_output(toy_persons, toy_predictions, metrics):
    chosen = protocol_metrics(metrics, "graph")
    assert (chosen["output"], chosen["instances"]) == ("graph", 10)
    assert chosen["AP"] == metrics["graph"]["AP"] > chosen["heatmap"]["AP"]
    assert chosen["heatmap"]["AP"] == coco_metrics(toy_persons, toy_predictions[:10], COCO17)["AP"]
    assert set(chosen["heatmap"]) == {"AP", "AP_most_occluded"}
    kinds = metrics["graph"]["diagnosis"]["all"]
    assert [chosen[kind] for kind in ("jitter", "inversion", "swap", "miss")] == [
        kinds[kind] for kind in ("jitter", "inversion", "swap", "miss")
    ]
    assert chosen["PCK_occluded"] == metrics["graph"]["joints"]["occluded"]["PCK"]
    json.dumps(metrics, allow_nan=False)
    json.dumps(chosen, allow_nan=False)


def test_the_heatmap_output_replaces_a_missing_graph_output(metrics):
    chosen = protocol_metrics({"heatmap": metrics["heatmap"]}, "graph")
    assert chosen["output"] == "heatmap"
    assert chosen["AP"] == metrics["heatmap"]["AP"]


def test_correcting_errors_never_lowers_ap(metrics):
    for one in metrics.values():
        assert all(corrected >= one["AP"] for corrected in one["oracle"].values())
