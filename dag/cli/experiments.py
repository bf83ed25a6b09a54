"""Commands about experiments: a report that compares them, studies over seeds, plots without a network."""

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
        typer.Argument(help='DVC experiments, branches, tags, commits, folders of predictions, or "workspace".'),
    ] = None,
    protocol: Annotated[str | None, typer.Option(help="A protocol of params.yaml; the first by default.")] = None,
    output: Annotated[str | None, typer.Option(help="graph, heatmap, ...; evaluate.output by default.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; report.html or STUDY.html by default.")] = None,
    images: Annotated[int, typer.Option(min=0, help="Number of persons drawn whose OKS rose, and whose fell.")] = 12,
    study: Annotated[Path | None, typer.Option(help="A study's file: report its rows over seeds instead.")] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="Metrics of the study's table; AP and AP_most_occluded by default.")
    ] = None,
) -> None:
    """Compare EXPERIMENTS with the first one on an HTML page: metrics with intervals, charts, changed persons.

    With --study, print the table of a study's rows over their seeds, and write it as a page.
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


def queue(study: Annotated[Path, typer.Argument(help="A study's file, such as experiments/ablation.yaml.")]) -> None:
    """Queue every unfinished run of a STUDY as a DVC experiment; `dvc queue start` runs them."""
    from dag.report.studies import queue_study

    queued, known = queue_study(study)
    print(f"queued {len(queued)}, {len(known)} are done or queued: `dvc queue start --jobs N` runs N at a time")


def plots_page() -> None:
    """Make `dvc plots` work without a network: write its page template with the scripts inside."""
    from dag.report.plots_page import write_plots_page

    print(f"wrote {write_plots_page()}: `dvc plots show` and `dvc plots diff` use it")
