"""Stage `evaluate`: every figure of every output of the model, beside the mean pose."""

from pathlib import Path

from dag.boxes import boxes_of, crop_areas, evaluated_people, read_detections
from dag.errors import UserError
from dag.evaluation.arrays import truth_of
from dag.evaluation.figures import all_figures
from dag.evaluation.mean_pose import place_mean_pose, read_mean_pose
from dag.evaluation.plots import write_plots
from dag.evaluation.protocol import (
    protocol_metrics,
    relabelled_joints,
    results_by_output,
    rows_of,
    suppress,
    write_protocol,
)
from dag.files import whole_folder, write_json
from dag.inference import predict_poses, torch_device
from dag.params import load_params
from dag.photograph import read_photographs
from dag.stage import run
from dag.weights import load_model


def evaluate(
    protocol: str, persons: Path, photographs: Path, boxes: Path, model: Path, predictions: Path, results: Path
) -> None:
    """Predict the people in the BOXES of a protocol (PERSONS: their own) and compare with the truth."""
    params = load_params()
    if protocol not in params.evaluate.protocols:
        raise UserError("unknown protocol", expected=f"one of {', '.join(params.evaluate.protocols)}", got=protocol)
    chosen, settings = params.evaluate.protocols[protocol], params.evaluate
    rows, skeleton = rows_of(persons, chosen.split)
    known = read_photographs(photographs, chosen.split)
    detected = boxes != persons
    sought = read_detections(boxes, known) if detected else boxes_of(evaluated_people(rows))
    network, input_wh = load_model(model)
    root, engine = params.datasets[chosen.dataset].root, params.engine
    network.to(torch_device(engine.device))
    options = {"flip": settings.flip, "batch_size": settings.batch_size, "workers": engine.workers}
    found = predict_poses(network, sought, root, skeleton, input_wh=input_wh, **options)
    found += place_mean_pose(read_mean_pose(model / "mean_pose.json", skeleton), sought)
    if detected:
        areas = crop_areas(sought, input_wh)
        found = suppress(found, areas, skeleton, nms=settings.nms, threshold=settings.nms_threshold)
    write_protocol(predictions, found, skeleton)
    outputs = results_by_output(found, skeleton)
    truth = truth_of(rows, skeleton, [photograph.image_id for photograph in known])
    figures = {output: all_figures(truth, those, skeleton) for output, those in outputs.items()}
    with whole_folder(results) as partial:
        relabelled = relabelled_joints(truth)
        labels = {"relabelled_joints": relabelled} if relabelled else {}
        write_json(partial / "metrics.json", protocol_metrics(figures, settings.output) | labels)
        write_json(partial / "figures.json", figures)
        write_plots(partial / "plots", truth, outputs, skeleton)


if __name__ == "__main__":
    run(evaluate)
