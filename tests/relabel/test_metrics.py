"""Counts of relabelled joints and accuracy of their occluders."""

from dataclasses import replace

from dag.relabel.metrics import relabel_metrics
from dag.skeleton import COCO17
from tests.relabel.scenes import candidates_of, persons_of_all_kinds


def test_metrics_count_and_compare_with_the_ground_truth() -> None:
    before = persons_of_all_kinds()
    metrics = relabel_metrics(before, candidates_of(before), COCO17)
    assert metrics["occluded"] == {
        "joints": 4,
        "decided": {"object": 1, "person": 1, "self": 1},
        "undecided": {"near a mask border": 1},
        "undecided_ratio": 0.25,
    }
    assert metrics["ground_truth"] == {
        "joints": 3,
        "accuracy": 2 / 3,
        "confusion": {"object": {"self": 1}, "person": {"person": 1}, "self": {"self": 1}},
    }
    without_gt = [replace(one, gt_occluder=None) for one in before]
    assert "ground_truth" not in relabel_metrics(without_gt, candidates_of(before), COCO17)
    assert relabel_metrics([], [], COCO17)["unlabelled"]["undecided_ratio"] == 0
