"""Average precision while training."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from dag.annotation import PersonAnnotation
from dag.boxes import Box, boxes_of, evaluated_persons
from dag.errors import UserError
from dag.evaluation.coco.average_precision import coco_metrics
from dag.inference.predictor import predict_poses
from dag.prediction import Prediction, outputs_of
from dag.sheets.predictions import write_samples
from dag.skeleton import Skeleton
from dag.training.distributed import from_first, gathered, processes


def validation_metrics(
    persons: Sequence[PersonAnnotation],
    root: str | Path,
    skeleton: Skeleton,
    *,
    input_wh: tuple[int, int],
    batch_size: int,
    sheet: Path | None = None,
) -> Callable[[torch.nn.Module], dict[str, float]]:
    """A function from a model to `{"heatmap_AP": ..., "graph_AP": ...}` on these people's own boxes, with flip test.

    Crowds and people without labelled joints are not predicted; they are still ignored regions for the evaluator. Of
    several processes each predicts its part of the images, the first judges all of them, and all know the metrics.

    Args:
        sheet: a picture of some people's poses, written anew each time.

    Raises:
        UserError: a box without an area: there is nothing to cut out.
    """
    people = evaluated_persons(persons)
    boxes = boxes_of(people)
    if empty := [box.person_id for box in boxes if not (box.bbox_xywh[2:] > 0).all()]:
        raise UserError("empty crop", where=f"person {empty[0]}", expected="a box with an area", do="repair the box")

    def metrics(model: torch.nn.Module) -> dict[str, float]:
        predictions = predict_together(model, boxes, root, skeleton, input_wh=input_wh, batch_size=batch_size)
        found: dict[str, float] = {}
        if processes()[0] == 0:
            for output, poses in outputs_of(predictions).items():
                precision = coco_metrics(persons, poses, skeleton)["AP"]
                found |= {} if precision is None else {f"{output}_AP": precision}
            if sheet:
                write_samples(sheet, people, predictions, root, skeleton, input_wh)
        return from_first(found)

    return metrics


def predict_together(
    model: torch.nn.Module,
    boxes: Sequence[Box],
    root: str | Path,
    skeleton: Skeleton,
    *,
    input_wh: tuple[int, int],
    batch_size: int,
) -> list[Prediction]:
    """`predict_poses` with flip test; each process predicts every n-th image, and all get what one would.

    Args:
        boxes: of people, each of them once.
    """
    rank, count = processes()
    number = {path: index for index, path in enumerate(dict.fromkeys(box.image_path for box in boxes))}
    part = [box for box in boxes if number[box.image_path] % count == rank]
    options = {"input_wh": input_wh, "flip": True, "batch_size": batch_size, "workers": 0}
    outputs = outputs_of(gathered(predict_poses(model, part, root, skeleton, **options)))
    by_person = [{pose.person_id: pose for pose in poses} for poses in outputs.values()]
    return [poses[box.person_id] for poses in by_person for box in boxes]
