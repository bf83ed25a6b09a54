"""Data commands: download official files, draw occluded training crops."""

from pathlib import Path
from typing import Annotated

import typer

from dag.stage import stage_options


def add_commands(app: typer.Typer) -> None:
    """Add `fetch` and `occlusion-sheet`."""
    app.command("fetch")(fetch_files)
    app.command("occlusion-sheet")(occlusion_sheet)


def fetch_files(
    name: Annotated[str, typer.Argument(help="Data set, a folder of datasets/.")],
    to: Annotated[Path | None, typer.Option(help="Folder to download to; external/NAME by default.")] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Accept the terms of the data set and download it.")] = False,
) -> None:
    """Download the official files of a data set, or print its terms and where to get them."""
    from dag.convert.download import fetch

    folder = to or Path("external") / name
    for line in fetch(name, folder, accept=accept):
        print(line)
    print(f"{name} is in {folder}")


def occlusion_sheet(
    out: Annotated[Path, typer.Argument(help="JPEG file to write.")],
    cache: Annotated[Path | None, typer.Option(help="Crop cache; the output of stage `cache` by default.")] = None,
    pool: Annotated[Path | None, typer.Option(help="Instance pool; the output of stage `pool` by default.")] = None,
    persons: Annotated[int, typer.Option(help="Number of persons, one row each.")] = 3,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 1,
) -> None:
    """Draw persons of the crop cache: clean, with mask joints, with instance paste, and with both."""
    from dag.sheets.occlusion import write_occlusion_sheet

    cache = cache or Path(stage_options("cache")["out"])
    pool = pool or Path(stage_options("pool")["out"])
    write_occlusion_sheet(out, cache, pool, persons=persons, seed=seed)
