"""The report page of experiments: header, table, charts and cards of persons, in one html file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

import dag
from dag.errors import UserError
from dag.evaluation.plots import plot_tables
from dag.evaluation.strata import occluded_joints
from dag.files import whole_file
from dag.report.cards import KIND_COLORS, OCCLUDED, VISIBLE, Card, draw_card, extremes
from dag.report.charts import COLORS, draw
from dag.report.experiments import Experiment
from dag.report.table import Row

TEMPLATE = Path(__file__).with_name("page.html")
CHARTS = {
    "precision_recall": "Precision over recall, n {persons} persons",
    "occlusion": "AP over the occlusion ratio of persons",
    "oks": "OKS of {persons} persons, 0 without a prediction",
    "errors": "Kinds of error, of joints of persons with a prediction",
    "joints": "Error and PCK, of n {joints} joints of persons with a prediction",
}
"""Charts of the page, in order, with their headings."""


def write_page(
    out: Path,
    experiments: Sequence[Experiment],
    groups: Mapping[str, Sequence[Row]],
    facts: Mapping[str, Any],
    *,
    people: int,
    charts: Path,
) -> Path:
    """Write the page atomically and return its path.

    Args:
        groups: rows of the table of metrics, as returned by `dag.report.table.table`.
        facts: number of `images` and of `resamples`, and the `seed`.
        people: maximum number of persons drawn whose OKS rose, and of those whose OKS fell.
        charts: folder of the plot templates.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": _number, "signed": _signed, "count": "{:,}".format}
    annotations, gt = experiments[0].annotations, experiments[0].annotations.ground_truth
    labelled = (gt.visibility > 0) & gt.evaluated[:, None]
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        version=dag.__version__,
        annotations=annotations,
        experiments=list(zip(experiments, COLORS)),
        persons=int(gt.evaluated.sum()),
        joints=int(labelled.sum()),
        occluded=int((occluded_joints(gt.visibility) & labelled).sum()),
        facts=facts,
        groups=groups,
        charts=_charts(experiments, charts),
        sheets=_sheets(experiments, people),
        colors={"visible": VISIBLE, "occluded": OCCLUDED},
        kinds={kind.name.lower(): color for kind, color in KIND_COLORS.items()},
    )
    with whole_file(out) as partial:
        partial.write_text(page, encoding="utf-8")
    return out


def _charts(experiments: Sequence[Experiment], folder: Path) -> list[tuple[str, str]]:
    """Heading and SVG of each of `CHARTS` with records."""
    outputs = ", ".join(dict.fromkeys(one.output for one in experiments))
    records: dict[str, list[dict[str, Any]]] = {name: [] for name in CHARTS}
    for one in experiments:
        for name, table in plot_tables(one.evaluation).items():
            records[name] += [{"rev": one.name, "output": outputs, **record} for record in table]
    names = [one.name for one in experiments]
    counts = [record["joints"] for record in records["joints"]]
    numbers = {
        "persons": f"{int(experiments[0].annotations.ground_truth.evaluated.sum()):,}",
        "joints": f"{min(counts):,} to {max(counts):,}" if counts else "0",
    }
    return [
        (heading.format(**numbers), draw(folder / f"{name}.json", records[name], names))
        for name, heading in CHARTS.items()
        if records[name]
    ]


def _sheets(experiments: Sequence[Experiment], most: int) -> list[dict[str, Any]]:
    """Cards of each experiment after the first, or of the only one; `missing`: the error if an image is missing."""
    if not most:
        return []
    pairs = [((experiments[0], other), (COLORS[0], color)) for other, color in zip(experiments[1:], COLORS[1:])]
    sheets = []
    for shown, colors in pairs or [((experiments[0],), COLORS[:1])]:
        better, worse = extremes([one.evaluation.person_oks for one in shown], most)
        names = [one.name for one in shown]
        sheet: dict[str, Any] = {"names": list(zip(names, colors)), "better": [], "worse": [], "missing": ""}
        try:
            drawn: list[list[Card]] = [
                [draw_card(person, shown, colors) for person in group] for group in (better, worse)
            ]
            sheet |= {"better": drawn[0], "worse": drawn[1]}
        except UserError as error:
            sheet["missing"] = str(error)
        sheets.append(sheet)
    return sheets


def _number(value: float) -> str:
    return f"{value:.3f}"


def _signed(value: float) -> str:
    """With a sign; the minus sign is as wide as the plus sign."""
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")
