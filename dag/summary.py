"""The table that `make repro` ends in."""

from pathlib import Path

from dag.errors import UserError
from dag.files import read_json

FIGURES = ("AP", "AP50", "AP75", "AR")


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
    table = Table(title="Keypoint metrics")
    for name in ("protocol", "output", "people", *FIGURES, "AP of most occluded third"):
        table.add_column(name, no_wrap=name in ("protocol", "output"))
    for path in protocols:
        metrics = read_json(path)
        for output, figures in metrics.items():
            if isinstance(figures, dict) and "AP" in figures:
                values = [*(figures[name] for name in FIGURES), figures["most_occluded"]["AP"]]
                cells = ["-" if value is None else f"{value:.3f}" for value in values]
                table.add_row(path.stem, output, str(metrics["people"]), *cells)
    console = Console()
    console.print(table)
    console.print(
        "Where to look: results/ (metrics, curves, sheets), predictions/ (COCO results), models/pose/ (weights)\n"
        "`dvc exp run -S model.adam=false` tries a change, `dvc exp show --only-changed` compares\n"
        "`dag-pose app` browses people and predictions, `dvc plots show` draws the curves"
    )
