"""What a study came to: every row's metrics over its seeds, and paired differences from the first row."""

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
"""Metrics that are shown where none are named, and what they are called."""
LEFT_OUT = "mean_pose"
CHART = Path(__file__).with_name("study.json")
PAGE = Path(__file__).with_name("study.html")

Metrics = Mapping[str, Mapping[str, Any]]
"""Of one run: output to named metrics (results/evaluate/PROTOCOL/all_metrics.json)."""
Found = Mapping[tuple[str, int], Metrics]
"""By row and seed."""


@dataclass(frozen=True)
class Line:
    """A metric of an output of a row.

    Attributes:
        values: by seed.
        differences: by seed, from the first row's headline output of the same seed; nothing where that is missing.
    """

    row: str
    output: str
    metric: str
    values: Mapping[int, float]
    differences: Mapping[int, float]


def read_runs(runs: Sequence[Run], protocol: str) -> tuple[Found, list[str]]:
    """Metrics of the runs that are done, and names of the experiments that are not.

    Raises:
        UserError: none is done, or one was not evaluated by this protocol.
    """
    there = set(revisions())
    missing = [run.experiment for run in runs if run.experiment not in there]
    found: dict[tuple[str, int], Metrics] = {}
    for run in [run for run in runs if run.experiment in there]:
        with files_of(run.experiment) as (find, _):
            path = find(f"{results_folder(find, protocol, run.experiment)}/all_metrics.json")
            if path is None:
                raise UserError("no metrics", where=f"{run.experiment}, {protocol}", do="name another --protocol")
            found[run.row, run.seed] = read_json(path)
    if not found:
        do = "`dag-pose queue` the study, then `dvc queue start`"
        raise UserError("no run of this study is done", expected=f"such as {missing[0]}", do=do)
    return found, missing


def study_lines(study: Study, found: Found, metric: str) -> list[Line]:
    """A line for each row and output that has the metric, in the study's order."""
    first = next(iter(study.rows))
    base = {seed: _headline(found[first, seed]).get(metric) for seed in study.seeds if (first, seed) in found}
    lines = []
    for row in study.rows:
        runs = {seed: found[row, seed] for seed in study.seeds if (row, seed) in found}
        for output in dict.fromkeys(name for outputs in runs.values() for name in outputs if name != LEFT_OUT):
            known = {seed: outputs.get(output, {}).get(metric) for seed, outputs in runs.items()}
            values = {seed: value for seed, value in known.items() if value is not None}
            pairs = {seed: (value, base.get(seed)) for seed, value in values.items()}
            differences = {seed: value - other for seed, (value, other) in pairs.items() if other is not None}
            if values:
                lines.append(Line(row, output, metric, values, differences))
    return lines


def _headline(outputs: Metrics) -> Mapping[str, Any]:
    """The graph's metrics, else those of the head."""
    return next((outputs[name] for name in ("graph", "heatmap", "simcc") if name in outputs), {})


def spread(values: Mapping[int, float], sign: str = "") -> str:
    """Mean and standard deviation over seeds, in hundredths; the mean alone where there is one seed."""
    numbers = [100 * value for value in values.values()]
    if not numbers:
        return "-"
    mean = f"{fmean(numbers):{sign}.1f}"
    return f"{mean} ± {stdev(numbers):.1f}" if len(numbers) > 1 else mean


def table_rows(study: Study, found: Found, metrics: Sequence[str]) -> Iterator[list[str]]:
    """Header and cells of the study's table; metrics are in hundredths."""
    first = next(iter(study.rows))
    yield ["row", "output", "seeds", *(part for name in metrics for part in (METRICS.get(name, name), f"less {first}"))]
    by_place: dict[tuple[str, str], dict[str, Line]] = {}
    for name in metrics:
        for line in study_lines(study, found, name):
            by_place.setdefault((line.row, line.output), {})[name] = line
    for (row, output), lines in by_place.items():
        seeds = max(len(line.values) for line in lines.values())
        cells = [cell for name in metrics for cell in (_cells(lines[name], first) if name in lines else ("-", "-"))]
        yield [row, output, str(seeds), *cells]


def _cells(line: Line, first: str) -> tuple[str, str]:
    return spread(line.values), "" if line.row == first else spread(line.differences, sign="+")


def write_study(
    out: Path, title: str, study: Study, found: Found, missing: Sequence[str], metrics: Sequence[str]
) -> None:
    """Write a page with the table and a chart a metric, whole or not at all; it needs no network."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    header, *rows = table_rows(study, found, metrics)
    page = environment.from_string(PAGE.read_text(encoding="utf-8")).render(
        title=title, study=study, header=header, rows=rows, missing=missing, charts=list(_charts(study, found, metrics))
    )
    with whole_file(out) as partial:
        partial.write_text(page, encoding="utf-8")


def _charts(study: Study, found: Found, metrics: Sequence[str]) -> Iterator[tuple[str, str]]:
    order = {row: number for number, row in enumerate(study.rows)}
    for number, name in enumerate(metrics):
        records = [
            {"rev": line.output, "row": line.row, "order": order[line.row], "seed": seed, "value": 100 * value}
            for line in study_lines(study, found, name)
            for seed, value in line.values.items()
        ]
        outputs = list(dict.fromkeys(record["rev"] for record in records))
        if records:
            svg = draw(CHART, records, outputs, "output").replace("study-", f"study-{number}-")  # several on one page
            yield METRICS.get(name, name), svg
