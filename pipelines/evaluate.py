"""Stage `evaluate`: average precision of every output of the model, beside the mean pose."""

from pathlib import Path

from dag.errors import UserError
from dag.evaluation.mean_pose import place_mean_pose, read_mean_pose
from dag.evaluation.protocol import evaluated_people, protocol_metrics, write_protocol
from dag.files import write_json
from dag.inference import predict_poses, torch_device
from dag.params import load_params
from dag.person import read_persons
from dag.stage import run
from dag.weights import load_model


def evaluate(
    protocol: str,
    persons: Path,
    model: Path,
    predictions: Path,
    metrics: Path,
) -> None:
    """Predict everyone of a protocol in their own box and compare with the truth."""
    params = load_params()
    if protocol not in params.evaluate.protocols:
        raise UserError("unknown protocol", expected=f"one of {', '.join(params.evaluate.protocols)}", got=protocol)
    chosen, settings = params.evaluate.protocols[protocol], params.evaluate
    rows, skeleton = read_persons(persons, chosen.split)
    people = evaluated_people(rows)
    mean_pose = read_mean_pose(model / "mean_pose.json", skeleton)
    network, input_wh = load_model(model)
    root, engine = params.datasets[chosen.dataset].root, params.engine
    network.to(torch_device(engine.device))
    options = {"flip": settings.flip, "batch_size": settings.batch_size, "workers": engine.workers}
    found = predict_poses(network, people, root, skeleton, input_wh=input_wh, **options)
    found += place_mean_pose(mean_pose, people)
    figures = protocol_metrics(rows, found, skeleton, settings.output)
    write_protocol(predictions, found, skeleton)
    write_json(metrics, figures)


if __name__ == "__main__":
    run(evaluate)
