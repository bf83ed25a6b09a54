"""Metrics as tables in the terminal, and the locations of the pipeline's outputs."""

from pathlib import Path

from dag.errors import UserError
from dag.files import read_json
from dag.params import load_params
from dag.stage import stage_options

METRICS = ("AP", "AP50", "AP75", "AR")


def print_metrics(metrics: dict[str, float | int | None], *, everything: bool) -> None:
    """Print the metrics of `dag.evaluation.evaluate_keypoints`, one row per stratum.

    Args:
        everything: include the strata of single joints, and numbers of joints.
    """
    from rich.console import Console
    from rich.table import Table

    groups: dict[str, dict[str, dict[str, float | int | None]]] = {}
    for name, value in metrics.items():
        group, _, rest = name.partition(".")
        stratum, _, metric = rest.rpartition(".")
        if everything or not stratum.startswith("joint_"):
            groups.setdefault(group if rest else "", {}).setdefault(stratum, {})[metric or group] = value
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
    """Print a table whose first two columns are text."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, box=box.MARKDOWN)
    for number, name in enumerate(header):
        table.add_column(name, justify="left" if number < 2 else "right")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def print_summary() -> None:
    """Print a table of every protocol's metrics by output, and the locations of the pipeline's outputs.

    Raises:
        UserError: no protocol of params.yaml has been evaluated.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    folders = {name: Path(stage_options(f"evaluate@{name}")["results"]) for name in load_params().evaluate.protocols}
    evaluated = {name: folder for name, folder in folders.items() if (folder / "all_metrics.json").exists()}
    if not evaluated:
        raise UserError("no metrics yet", where=", ".join(map(str, folders.values())), do="run `dvc repro`")
    table = Table(title="Keypoint metrics", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, padding=(0, 1))
    for name in ("protocol", "output", "instances", *METRICS, "AP of most occluded third"):
        table.add_column(name, no_wrap=name in ("protocol", "output", "instances"))
    for protocol, folder in evaluated.items():
        for output, metrics in read_json(folder / "all_metrics.json").items():
            cells = [_cell(metrics.get(name)) for name in (*METRICS, "AP_most_occluded")]
            table.add_row(protocol, output, str(metrics["instances"]), *cells)
    console = Console()
    console.print(table)
    model = stage_options("train")["out"]
    console.print(
        f"Outputs: results/ (metrics, curves, contact sheets), predictions/ (COCO results), {model} (weights)\n"
        "`dvc exp run -S model.adam=false` runs an experiment, `dvc exp show --only-changed` compares experiments\n"
        "`dag-pose app` browses annotations and predictions, `dvc plots show` draws the curves"
    )
