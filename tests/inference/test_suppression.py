"""Suppression of nearly identical poses within each output."""

from dataclasses import replace

import numpy as np

from dag.inference.nms import SUPPRESSIONS, suppress
from dag.skeleton import COCO17


def test_suppression_leaves_the_better_of_two_boxes_in_each_output(toy_predictions):
    twice = [*toy_predictions[:10], *(replace(pose, score=pose.score / 2) for pose in toy_predictions[:10])]
    areas = np.full(20, 1e4)
    for nms in SUPPRESSIONS:
        kept = suppress(twice, areas, COCO17, nms=nms, threshold=0.9)
        assert {p.score for p in toy_predictions[:10]} <= {p.score for p in kept}
        assert len(kept) == (10 if nms == "hard" else 20)
    both = suppress(
        [*twice, *(replace(pose, output="graph") for pose in twice)], areas, COCO17, nms="hard", threshold=0.9
    )
    assert [pose.output for pose in both] == ["heatmap"] * 10 + ["graph"] * 10
