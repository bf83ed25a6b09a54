"""Model commands: inspect weight files, export a trained model."""

from pathlib import Path
from typing import Annotated

import typer

from dag.stage import stage_options

weights_group = typer.Typer(no_args_is_help=True, help="Inspect weight files.")


def add_commands(app: typer.Typer) -> None:
    """Add `export`."""
    app.command()(export)


@weights_group.command("inspect")
def inspect_file(file: Annotated[Path, typer.Argument(help="Weight file.")]) -> None:
    """Print the contents of a weight file and which weights would load. Code in the file is not executed."""
    from dag.models.weights import inspect_weights

    for line in inspect_weights(file):
        print(line)


def export(
    model: Annotated[
        Path | None, typer.Option(help="Folder of a trained model; the output of stage `train` by default.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="ONNX file to write; next to the model by default.")] = None,
) -> None:
    """Export a trained model as ONNX; its metadata describes pre- and post-processing."""
    from dag.models.export import export_onnx

    model = model or Path(stage_options("train")["out"])
    out = out or model.with_suffix(".onnx")
    for name, text in export_onnx(model, out).items():
        print(f"{name}: {text}")
    print(f"wrote {out}")
