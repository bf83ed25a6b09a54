"""Evaluation commands: evaluate COCO results, write a submission, summarise the last run."""

from pathlib import Path
from typing import Annotated

import typer

from dag.stage import stage_options


def add_commands(app: typer.Typer) -> None:
    """Add `evaluate`, `submission` and `summary`."""
    app.command("evaluate")(evaluate_files)
    app.command("submission")(submission)
    app.command("summary")(summary)


def evaluate_files(
    ground_truth: Annotated[Path, typer.Argument(help="COCO annotation file (json).")],
    results: Annotated[Path, typer.Argument(help="COCO results file (json).")],
    protocol: Annotated[str, typer.Option(help="coco, crowdpose, ochuman, lsp_extended or synthetic.")] = "coco",
    everything: Annotated[bool, typer.Option("--all", help="Include metrics per joint and joint counts.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all metrics as json.")] = False,
) -> None:
    """Evaluate COCO results of any model: AP and AR, metrics by occlusion, error diagnosis (docs/metrics.md)."""
    import json

    from dag.evaluation import evaluate_keypoints
    from dag.report.summary import print_metrics

    metrics = evaluate_keypoints(ground_truth, results, protocol)
    if as_json:
        print(json.dumps(metrics, indent=1))
    else:
        print_metrics(metrics, everything=everything)


def submission(
    name: Annotated[str, typer.Argument(help="Name of the method, part of the file name.")],
    protocol: Annotated[str, typer.Option(help="Evaluation protocol of params.yaml that has predictions.")],
    output: Annotated[str, typer.Option(help="Model output: graph, heatmap or simcc.")] = "graph",
    to: Annotated[Path, typer.Option(help="Folder to write to.")] = Path(),
) -> None:
    """Write predictions as a zip file for COCO's evaluation server."""
    from dag.params import load_params
    from dag.prediction import PREDICTIONS_FILE, read_predictions, write_submission

    split = load_params().protocol(protocol).split
    predictions, _ = read_predictions(Path(stage_options(f"predict@{protocol}")["out"]) / PREDICTIONS_FILE)
    chosen = [prediction for prediction in predictions if prediction.output == output]
    print(f"wrote {write_submission(to, chosen, split=split, name=name)}")


def summary() -> None:
    """Print the metrics of the last run and the locations of its outputs."""
    from dag.report.summary import print_summary

    print_summary()
