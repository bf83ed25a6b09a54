"""Stage `evaluate`: metrics and plots of the predictions of a protocol, for every output of the model."""

from pathlib import Path

from dag.annotation import read_split
from dag.evaluation import Evaluation
from dag.evaluation.coco.arrays import ground_truth_of, results_by_output
from dag.evaluation.metrics import all_metrics, protocol_metrics, relabelled_joints
from dag.evaluation.plots import write_plots
from dag.files import whole_folder, write_json
from dag.image import read_image_table
from dag.params import load_params
from dag.prediction import PREDICTIONS_FILE, read_predictions
from dag.stage import run


def evaluate(protocol: str, annotations: Path, images: Path, predictions: Path, results: Path) -> None:
    """Evaluate PREDICTIONS against the ANNOTATIONS of PROTOCOL; write metrics and plots to the folder RESULTS."""
    params = load_params()
    split = params.protocol(protocol).split
    persons, skeleton = read_split(annotations, split)
    predicted, _ = read_predictions(predictions / PREDICTIONS_FILE)
    gt = ground_truth_of(persons, skeleton, [image.image_id for image in read_image_table(images, split)])
    outputs = results_by_output(predicted, skeleton)
    evaluations = {output: Evaluation(gt, poses, skeleton) for output, poses in outputs.items()}
    metrics = {output: all_metrics(evaluation) for output, evaluation in evaluations.items()}
    with whole_folder(results) as partial:
        relabelled = relabelled_joints(gt)
        labels = {"relabelled_joints": relabelled} if relabelled else {}
        write_json(partial / "metrics.json", protocol_metrics(metrics, params.evaluate.output) | labels)
        write_json(partial / "all_metrics.json", metrics)
        write_plots(partial / "plots", evaluations)


if __name__ == "__main__":
    run(evaluate)
