"""Average precision while training."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from dag.boxes import boxes_of, evaluated_people
from dag.evaluation.average_precision import coco_metrics
from dag.inference import predict_poses
from dag.person import Person
from dag.prediction import outputs_of
from dag.skeleton import Skeleton


def validation_figures(
    persons: Sequence[Person], root: str | Path, skeleton: Skeleton, *, input_wh: tuple[int, int], batch_size: int
) -> Callable[[torch.nn.Module], dict[str, float]]:
    """A function from a model to `{"heatmap_AP": ..., "graph_AP": ...}` on these people's own boxes, without flip test.

    Crowds and people without labelled joints are not predicted; they are still ignored regions for the evaluator.
    """
    boxes = boxes_of(evaluated_people(persons))

    def figures(model: torch.nn.Module) -> dict[str, float]:
        predictions = predict_poses(
            model, boxes, root, skeleton, input_wh=input_wh, flip=False, batch_size=batch_size, workers=0
        )
        found = {
            f"{output}_AP": coco_metrics(persons, poses, skeleton)["AP"]
            for output, poses in outputs_of(predictions).items()
        }
        return {name: value for name, value in found.items() if value is not None}

    return figures
