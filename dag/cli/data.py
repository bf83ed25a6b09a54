"""Commands about data: download official files, draw occluded training crops."""

from pathlib import Path
from typing import Annotated

import typer

from dag.stage import stage_options


def add_commands(app: typer.Typer) -> None:
    """Add `fetch` and `occlusion-sheet`."""
    app.command("fetch")(fetch_files)
    app.command("occlusion-sheet")(occlusion_sheet)


def fetch_files(
    name: str,
    to: Annotated[Path | None, typer.Option(help="Folder of the data set; external/NAME by default.")] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Accept the data set's terms.")] = False,
) -> None:
    """Download the official files of the data set NAME, or print how to get them by hand."""
    from dag.convert.download import fetch

    folder = to or Path("external") / name
    for line in fetch(name, folder, accept=accept):
        print(line)
    print(f"{name} is in {folder}")


def occlusion_sheet(
    out: Path,
    cache: Annotated[Path | None, typer.Option(help="Crop cache; the output of stage cache by default.")] = None,
    pool: Annotated[Path | None, typer.Option(help="Instance pool; the output of stage pool by default.")] = None,
    people: Annotated[int, typer.Option(help="Number of persons.")] = 3,
    seed: int = 1,
) -> None:
    """Draw persons of the cache to OUT: clean, with masked joints, with a pasted instance, and with both."""
    from dag.sheets.occlusion import write_occlusion_sheet

    cache = cache or Path(stage_options("cache")["out"])
    pool = pool or Path(stage_options("pool")["out"])
    write_occlusion_sheet(out, cache, pool, people=people, seed=seed)
