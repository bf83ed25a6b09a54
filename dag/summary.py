"""The table that `make repro` ends in."""

from pathlib import Path

from dag.errors import UserError
from dag.files import read_json

FIGURES = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR")


def print_summary(results: Path) -> None:
    """Print a table of every protocol's metrics by output, and where to look further.

    Raises:
        UserError: nothing was evaluated yet.
    """
    from rich.console import Console
    from rich.table import Table

    protocols = sorted((results / "evaluate").glob("*.json"))
    if not protocols:
        raise UserError("nothing was evaluated yet", where=results / "evaluate", do="run `dvc repro`")
    table = Table("protocol", "output", "people", *FIGURES, title="Keypoint metrics")
    for path in protocols:
        metrics = read_json(path)
        for output, figures in metrics.items():
            if isinstance(figures, dict) and "AP" in figures:
                cells = ["-" if figures[name] is None else f"{figures[name]:.3f}" for name in FIGURES]
                table.add_row(path.stem, output, str(metrics["people"]), *cells)
    console = Console()
    console.print(table)
    console.print(
        "Where to look: results/ (metrics, plots, sheets), predictions/ (COCO results), models/pose/ (weights);\n"
        "`dvc plots show` draws the curves, `dvc exp run -S model.adam=false` tries a change,\n"
        "`dvc exp show` compares, `dag-pose app` browses people and predictions."
    )
