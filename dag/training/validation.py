"""COCO AP on the validation split during training."""

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
from dag.training.distributed import all_gather, broadcast, rank_and_world_size


def validation_metrics(
    persons: Sequence[PersonAnnotation],
    root: str | Path,
    skeleton: Skeleton,
    *,
    input_wh: tuple[int, int],
    batch_size: int,
    sheet: Path | None = None,
    required: bool = False,
) -> Callable[[torch.nn.Module], dict[str, float]]:
    """A function that maps a model to `{"heatmap_AP": ..., "graph_AP": ...}` in ground-truth boxes, with flip test.

    Crowd regions and persons without labelled joints are not predicted; they remain ignored regions of the evaluation.
    Each process predicts its part of the images; process 0 evaluates all, and every process receives the metrics.

    Args:
        sheet: a contact sheet of some persons' poses, replaced at every validation.
        required: whether the run depends on the metrics.

    Raises:
        UserError: a bounding box without area, or (if required) no evaluated persons.
    """
    evaluated = evaluated_persons(persons)
    if required and not evaluated:
        do = "set train.checkpoint: last and train.early_stop: 0"
        raise UserError("no evaluated persons", where="val split", expected="persons with labelled joints", do=do)
    boxes = boxes_of(evaluated)
    if empty := [box.person_id for box in boxes if not (box.bbox_xywh[2:] > 0).all()]:
        do = "correct the annotation"
        raise UserError("empty bounding box", where=f"person {empty[0]}", expected="width and height above 0", do=do)

    def metrics(model: torch.nn.Module) -> dict[str, float]:
        predictions = predict_distributed(model, boxes, root, skeleton, input_wh=input_wh, batch_size=batch_size)
        values: dict[str, float] = {}
        if rank_and_world_size()[0] == 0:
            for output, poses in outputs_of(predictions).items():
                ap = coco_metrics(persons, poses, skeleton)["AP"]
                values |= {} if ap is None else {f"{output}_AP": ap}
            if sheet:
                write_samples(sheet, evaluated, predictions, root, skeleton, input_wh)
        return broadcast(values)

    return metrics


def predict_distributed(
    model: torch.nn.Module,
    boxes: Sequence[Box],
    root: str | Path,
    skeleton: Skeleton,
    *,
    input_wh: tuple[int, int],
    batch_size: int,
) -> list[Prediction]:
    """`predict_poses` with flip test, distributed over the processes: process r of n predicts every n-th image.

    Args:
        boxes: of annotated persons, each of them once.

    Returns:
        All predictions, in every process, in the order of a single process.
    """
    rank, world_size = rank_and_world_size()
    image_number = {path: index for index, path in enumerate(dict.fromkeys(box.image_path for box in boxes))}
    part = [box for box in boxes if image_number[box.image_path] % world_size == rank]
    options = {"input_wh": input_wh, "flip": True, "batch_size": batch_size, "workers": 0}
    outputs = outputs_of(all_gather(predict_poses(model, part, root, skeleton, **options)))
    by_person = [{pose.person_id: pose for pose in poses} for poses in outputs.values()]
    return [poses[box.person_id] for poses in by_person for box in boxes]
