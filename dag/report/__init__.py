"""HTML reports: `write_report` compares experiments, `write_study_report` summarises a study over seeds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dag.errors import UserError


def write_report(
    experiments: Sequence[str] = (),
    *,
    out: str | Path | None = None,
    protocol: str | None = None,
    output: str | None = None,
    people: int = 12,
    resamples: int = 1000,
    seed: int = 1,
    charts: str | Path = ".dvc/plots",
) -> Path:
    """Write a page that compares experiments of the DVC project in the working folder; it appears atomically.

    Args:
        experiments: DVC experiments, branches, tags, commits, folders with predictions.parquet, or "workspace"; empty:
            the workspace. Differences are from the first.
        out: path of the page; None: report.html.
        protocol: name in params.yaml; None: the first of the first experiment.
        output: "graph", "heatmap", ...; None: each experiment's `evaluate.output`.
        people: maximum number of persons drawn whose OKS rose most, and of those whose OKS fell most.
        resamples, seed: of the bootstrap over images, for the intervals.
        charts: folder of the plot templates.

    Raises:
        UserError: too many experiments, or as `read_experiments`.
    """
    import numpy as np

    from dag.report.bootstrap import all_images, count, resample
    from dag.report.charts import COLORS
    from dag.report.experiments import read_experiments
    from dag.report.page import write_page
    from dag.report.table import table

    if len(experiments) > len(COLORS):
        raise UserError("too many experiments", expected=f"at most {len(COLORS)}", got=len(experiments))
    read = read_experiments(list(experiments), protocol, output)
    ids = all_images([one.evaluation for one in read])
    counts = [count(one.evaluation, ids) for one in read]
    samples = resample(counts, len(ids), resamples=resamples, rng=np.random.default_rng(seed))
    facts: dict[str, Any] = {"images": len(ids), "resamples": resamples, "seed": seed}
    return write_page(
        Path(out or "report.html"), read, table(counts, samples), facts, people=people, charts=Path(charts)
    )


def write_study_report(
    study: str | Path, *, out: str | Path | None = None, protocol: str | None = None, metrics: Sequence[str] = ()
) -> tuple[Path, list[list[str]]]:
    """Write a page about the completed runs of a study; it appears atomically.

    Args:
        study: path of its file; its experiments are named FILE-ROW-SEED.
        out: path of the page; None: FILE.html.
        protocol: name in params.yaml; None: the first.
        metrics: names of metrics (docs/metrics.md); empty: AP and AP_most_occluded.

    Returns:
        Path of the page, and its table: header, then rows.

    Raises:
        UserError: not a study, no completed run, or an unknown metric or protocol.
    """
    from dag.params import load_params
    from dag.report.studies import read_study, runs_of
    from dag.report.study_page import METRICS, read_runs, table_rows, write_study

    path = Path(study)
    read = read_study(path)
    completed, missing = read_runs(runs_of(read, path.stem), protocol or next(iter(load_params().evaluate.protocols)))
    names = list(metrics or METRICS)
    known = {name for outputs in completed.values() for values in outputs.values() for name in values}
    if unknown := [name for name in names if name not in known]:
        raise UserError("unknown metric", where=path, expected=f"one of {', '.join(sorted(known))}", got=unknown[0])
    page = Path(out or f"{path.stem}.html")
    write_study(page, path.stem, read, completed, missing, names)
    return page, list(table_rows(read, completed, names))
