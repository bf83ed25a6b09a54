"""Results of a study: every row's metrics over its seeds, and paired differences from the first row."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from dag.errors import UserError
from dag.files import read_json, whole_file
from dag.report.charts import draw
from dag.report.experiments import files_of, results_folder, revisions
from dag.report.studies import Run, Study

METRICS = {"AP": "AP", "AP_most_occluded": "AP of the most occluded third"}
"""Default metrics of a study's page, and their labels."""
LEFT_OUT = "mean_pose"
"""The output that no table or chart includes: it does not depend on the model."""
CHART = Path(__file__).with_name("study.json")
PAGE = Path(__file__).with_name("study.html")

Metrics = Mapping[str, Mapping[str, Any]]
"""Metrics of one run, by output and name (results/evaluate/PROTOCOL/all_metrics.json)."""
RunMetrics = Mapping[tuple[str, int], Metrics]
"""Metrics of the completed runs, by row and seed."""


@dataclass(frozen=True)
class Line:
    """One metric of one output of a row.

    Attributes:
        values: by seed.
        differences: by seed, from the headline output of the first row with the same seed, where that exists.
    """

    row: str
    output: str
    metric: str
    values: Mapping[int, float]
    differences: Mapping[int, float]


def read_runs(runs: Sequence[Run], protocol: str) -> tuple[RunMetrics, list[str]]:
    """Metrics of the completed runs, and names of the experiments that do not exist yet.

    Raises:
        UserError: no completed run, or one without metrics of this protocol.
    """
    existing = set(revisions())
    missing = [run.experiment for run in runs if run.experiment not in existing]
    completed: dict[tuple[str, int], Metrics] = {}
    for run in [run for run in runs if run.experiment in existing]:
        with files_of(run.experiment) as (find, _):
            path = find(f"{results_folder(find, protocol, run.experiment)}/all_metrics.json")
            if path is None:
                raise UserError("no metrics", where=f"{run.experiment}, {protocol}", do="choose another --protocol")
            completed[run.row, run.seed] = read_json(path)
    if not completed:
        do = "`dag-pose queue` the study, then `dvc queue start`"
        raise UserError("no completed run of this study", expected=f"experiments such as {missing[0]}", do=do)
    return completed, missing


def study_lines(study: Study, completed: RunMetrics, metric: str) -> list[Line]:
    """One line for each row and output that has the metric, in the study's order."""
    first = next(iter(study.rows))
    base = {seed: _headline(completed[first, seed]).get(metric) for seed in study.seeds if (first, seed) in completed}
    lines = []
    for row in study.rows:
        runs = {seed: completed[row, seed] for seed in study.seeds if (row, seed) in completed}
        for output in dict.fromkeys(name for outputs in runs.values() for name in outputs if name != LEFT_OUT):
            known = {seed: outputs.get(output, {}).get(metric) for seed, outputs in runs.items()}
            values = {seed: value for seed, value in known.items() if value is not None}
            pairs = {seed: (value, base.get(seed)) for seed, value in values.items()}
            differences = {seed: value - other for seed, (value, other) in pairs.items() if other is not None}
            if values:
                lines.append(Line(row, output, metric, values, differences))
    return lines


def _headline(outputs: Metrics) -> Mapping[str, Any]:
    """Metrics of the headline output: graph, else the head's."""
    return next((outputs[name] for name in ("graph", "heatmap", "simcc") if name in outputs), {})


def spread(values: Mapping[int, float], sign: str = "") -> str:
    """Mean and standard deviation over seeds, in percent; only the mean if there is one seed."""
    numbers = [100 * value for value in values.values()]
    if not numbers:
        return "-"
    mean = f"{fmean(numbers):{sign}.1f}"
    return f"{mean} ± {stdev(numbers):.1f}" if len(numbers) > 1 else mean


def table_rows(study: Study, completed: RunMetrics, metrics: Sequence[str]) -> Iterator[list[str]]:
    """Header and rows of the study's table; metrics in percent."""
    first = next(iter(study.rows))
    columns = [column for name in metrics for column in (METRICS.get(name, name), f"minus {first}")]
    yield ["row", "output", "seeds", *columns]
    by_row: dict[tuple[str, str], dict[str, Line]] = {}
    for name in metrics:
        for line in study_lines(study, completed, name):
            by_row.setdefault((line.row, line.output), {})[name] = line
    for (row, output), lines in by_row.items():
        seeds = max(len(line.values) for line in lines.values())
        cells = [cell for name in metrics for cell in (_cells(lines[name], first) if name in lines else ("-", "-"))]
        yield [row, output, str(seeds), *cells]


def _cells(line: Line, first: str) -> tuple[str, str]:
    return spread(line.values), "" if line.row == first else spread(line.differences, sign="+")


def write_study(
    out: Path, title: str, study: Study, completed: RunMetrics, missing: Sequence[str], metrics: Sequence[str]
) -> None:
    """Write a page with the table and one chart per metric atomically; it works offline."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    header, *rows = table_rows(study, completed, metrics)
    charts = list(_charts(study, completed, metrics))
    page = environment.from_string(PAGE.read_text(encoding="utf-8")).render(
        title=title, study=study, header=header, rows=rows, missing=missing, charts=charts
    )
    with whole_file(out) as partial:
        partial.write_text(page, encoding="utf-8")


def _charts(study: Study, completed: RunMetrics, metrics: Sequence[str]) -> Iterator[tuple[str, str]]:
    order = {row: number for number, row in enumerate(study.rows)}
    for number, name in enumerate(metrics):
        records = [
            {"rev": line.output, "row": line.row, "order": order[line.row], "seed": seed, "value": 100 * value}
            for line in study_lines(study, completed, name)
            for seed, value in line.values.items()
        ]
        outputs = list(dict.fromkeys(record["rev"] for record in records))
        if records:
            svg = draw(CHART, records, outputs, "output").replace("study-", f"study-{number}-")  # unique ids
            yield METRICS.get(name, name), svg
