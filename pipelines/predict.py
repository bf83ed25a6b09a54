"""Stage `predict`: keypoints in the bounding boxes of a protocol, for every output of the model and the mean pose."""

from pathlib import Path

from dag.annotation import read_split
from dag.boxes import boxes_of, crop_areas, evaluated_persons, read_detections
from dag.image import read_image_table
from dag.inference import predict_poses
from dag.inference.mean_pose import place_mean_pose, read_mean_pose
from dag.inference.nms import suppress
from dag.inference.predictor import torch_device
from dag.models.weights import load_model
from dag.params import load_params
from dag.prediction import write_prediction_folder
from dag.stage import run


def predict(protocol: str, annotations: Path, images: Path, boxes: Path, model: Path, out: Path) -> None:
    """Apply MODEL to BOXES (same path as ANNOTATIONS: ground-truth boxes) and write predictions to the folder OUT."""
    params = load_params()
    split, dataset = params.protocol(protocol).split, params.protocol(protocol).dataset
    settings, engine = params.predict, params.engine
    persons, skeleton = read_split(annotations, split)
    network, input_wh = load_model(model)
    detected = boxes != annotations
    if detected:
        person_boxes = read_detections(boxes, read_image_table(images, split))
    else:
        person_boxes = boxes_of(evaluated_persons(persons))
    predictions = predict_poses(
        network.to(torch_device(engine.device)),
        person_boxes,
        params.datasets[dataset].root,
        skeleton,
        input_wh=input_wh,
        flip=settings.flip,
        batch_size=settings.batch_size,
        workers=engine.workers,
    )
    predictions += place_mean_pose(read_mean_pose(model / "mean_pose.json", skeleton), person_boxes)
    if detected:
        areas = crop_areas(person_boxes, input_wh)
        predictions = suppress(predictions, areas, skeleton, nms=settings.nms, threshold=settings.nms_threshold)
    write_prediction_folder(out, predictions, skeleton)


if __name__ == "__main__":
    run(predict)
