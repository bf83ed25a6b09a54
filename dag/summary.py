"""Figures as tables in the terminal, and where to look further."""

from pathlib import Path

from dag.errors import UserError
from dag.files import read_json

FIGURES = ("AP", "AP50", "AP75", "AR")


def print_figures(figures: dict[str, float | int | None], *, everything: bool) -> None:
    """Print `dag.evaluation.evaluate_keypoints`' figures, a row a stratum; without `everything` no single joints."""
    from rich.console import Console
    from rich.table import Table

    groups: dict[str, dict[str, dict[str, float | int | None]]] = {}
    for name, value in figures.items():
        group, _, rest = name.partition(".")
        stratum, _, figure = rest.rpartition(".")
        if everything or not stratum.startswith("joint_"):
            groups.setdefault(group if rest else "", {}).setdefault(stratum, {})[figure or group] = value
    console = Console()
    for group, strata in groups.items():
        table = Table(title=group or "keypoint metrics")
        table.add_column("", no_wrap=True)
        if not any(strata):
            strata = {name: {"": value} for name, value in strata[""].items()}
        columns = [name for name in next(iter(strata.values())) if everything or not name.endswith("_joints")]
        for column in columns:
            table.add_column(column, justify="right")
        for stratum, row in strata.items():
            table.add_row(stratum, *(_cell(row.get(column)) for column in columns))
        console.print(table)


def _cell(value: float | int | None) -> str:
    return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"


def print_rows(title: str, header: list[str], rows: list[list[str]]) -> None:
    """Print a table whose first two columns are words."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, box=box.MARKDOWN)
    for number, name in enumerate(header):
        table.add_column(name, justify="left" if number < 2 else "right")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def print_summary(results: Path) -> None:
    """Print a table of every protocol's metrics by output, and where to look further.

    Raises:
        UserError: nothing was evaluated yet.
    """
    from rich.console import Console
    from rich.table import Table

    protocols = sorted((results / "evaluate").glob("*/figures.json"))
    if not protocols:
        raise UserError("nothing was evaluated yet", where=results / "evaluate", do="run `dvc repro`")
    table = Table(title="Keypoint metrics")
    for name in ("protocol", "output", "people", *FIGURES, "AP of most occluded third"):
        table.add_column(name, no_wrap=name in ("protocol", "output"))
    for path in protocols:
        for output, figures in read_json(path).items():
            values = [figures.get(name) for name in (*FIGURES, "AP_most_occluded")]
            cells = [_cell(value) for value in values]
            table.add_row(path.parent.name, output, str(figures["people"]), *cells)
    console = Console()
    console.print(table)
    console.print(
        "Where to look: results/ (metrics, curves, sheets), predictions/ (COCO results), models/pose/ (weights)\n"
        "`dvc exp run -S model.adam=false` tries a change, `dvc exp show --only-changed` compares\n"
        "`dag-pose app` browses people and predictions, `dvc plots show` draws the curves"
    )
