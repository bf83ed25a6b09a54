"""`dag-pose params`: list presets, replace params.yaml by a preset, validate params.yaml."""

from pathlib import Path
from typing import Annotated

import typer

group = typer.Typer(no_args_is_help=True, help="List and use presets of params.yaml, and validate it.")


@group.command("list")
def list_presets() -> None:
    """List the presets with their descriptions."""
    from dag.cli.presets import describe, preset_names

    for name in preset_names():
        print(f"{name}\n    " + describe(name).replace("\n", "\n    "))


@group.command()
def use(name: Annotated[str, typer.Argument(help="Preset, as printed by `dag-pose params list`.")]) -> None:
    """Replace params.yaml by a preset and print the changes."""
    from dag.cli.presets import use_preset

    changes = use_preset(name)
    for key, before, after in changes:
        print(f"{key}: {before} -> {after}")
    print(f"params.yaml is now the preset {name}: {len(changes)} keys changed. Run it with `dvc repro`.")


@group.command()
def check(path: Annotated[Path, typer.Argument(help="File to validate.")] = Path("params.yaml")) -> None:
    """Validate params.yaml: unknown keys, wrong types, invalid values."""
    from dag.params import load_params

    load_params(path)
    print(f"{path}: valid")
