"""Experiment commands: comparison reports, studies over seeds, the offline template of `dvc plots`."""

from pathlib import Path
from typing import Annotated

import typer


def add_commands(app: typer.Typer) -> None:
    """Add `report`, `queue` and `plots-page`."""
    app.command("report")(report)
    app.command("queue")(queue)
    app.command("plots-page")(plots_page)


def report(
    experiments: Annotated[
        list[str] | None,
        typer.Argument(
            help="Experiments, commits, branches, prediction folders or `workspace`; the first is the baseline."
        ),
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Evaluation protocol of params.yaml; the first one by default.")
    ] = None,
    output: Annotated[str | None, typer.Option(help="Model output, e.g. graph; evaluate.output by default.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; report.html or STUDY.html by default.")] = None,
    images: Annotated[int, typer.Option(min=0, help="Number of example images, for OKS gains and for losses.")] = 12,
    study: Annotated[Path | None, typer.Option(help="Study file: report its rows over seeds instead.")] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="With --study: metric of the table, repeatable; AP and AP_most_occluded by default."),
    ] = None,
) -> None:
    """Write an HTML page that compares experiments: metrics with confidence intervals, charts, changed predictions.

    With --study, print a table of the study's rows over seeds and write it as a page.
    """
    if study:
        from dag.report import write_study_report
        from dag.report.summary import print_rows

        path, (header, *rows) = write_study_report(study, out=out, protocol=protocol, metrics=metric or ())
        print_rows(study.stem, header, rows)
    else:
        from dag.report import write_report

        path = write_report(experiments or [], out=out, protocol=protocol, output=output, people=images)
    print(f"wrote {path}: open it in a browser, no network needed")


def queue(study: Annotated[Path, typer.Argument(help="Study file, e.g. experiments/ablation.yaml.")]) -> None:
    """Queue all unfinished runs of a study as DVC experiments; `dvc queue start` runs them."""
    from dag.report.studies import queue_study

    queued, existing = queue_study(study)
    print(f"queued {len(queued)}, already done or queued {len(existing)}: `dvc queue start --jobs N` runs N at a time")


def plots_page() -> None:
    """Write the page template of `dvc plots` with embedded scripts, so that plots open offline."""
    from dag.report.plots_page import write_plots_page

    print(f"wrote {write_plots_page()}: `dvc plots show` and `dvc plots diff` use it")
