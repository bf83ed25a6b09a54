"""`dag-pose params`: list, choose and check whole configurations."""

from pathlib import Path

import typer

group = typer.Typer(no_args_is_help=True, help="List, choose and check whole configurations.")


@group.command("list")
def list_presets() -> None:
    """List the presets with their descriptions."""
    from dag.cli.presets import describe, preset_names

    for name in preset_names():
        print(f"{name}\n    " + describe(name).replace("\n", "\n    "))


@group.command()
def use(name: str) -> None:
    """Replace params.yaml by the preset NAME and print what changed."""
    from dag.cli.presets import use_preset

    changes = use_preset(name)
    for key, before, after in changes:
        print(f"{key}: {before} -> {after}")
    print(f"params.yaml is now the preset {name}: {len(changes)} keys changed. `dvc repro` runs it.")


@group.command()
def check(path: Path = Path("params.yaml")) -> None:
    """Check params.yaml for unknown keys, wrong types and invalid values."""
    from dag.params import load_params

    load_params(path)
    print(f"{path}: valid")
