"""Commands that open the FiftyOne App: browse predictions, review relabelled joints."""

from pathlib import Path
from typing import Annotated

import typer

from dag.stage import stage_options

Port = Annotated[int, typer.Option(help="Port of the App on 127.0.0.1.")]
DatabasePort = Annotated[int | None, typer.Option(help="Port of the App's database; a free port by default.")]


def add_commands(app: typer.Typer) -> None:
    """Add `app` and `review`."""
    app.command("app")(browse)
    app.command("review")(review)


def browse(
    protocol: Annotated[
        str | None, typer.Option(help="Evaluation protocol of params.yaml; the first one by default.")
    ] = None,
    port: Port = 5151,
    database_port: DatabasePort = None,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="EXP1 EXP2", help="Compare two experiments, commits or prediction folders."),
    ] = None,
    output: Annotated[
        str | None, typer.Option(help="With --compare: model output; evaluate.output by default.")
    ] = None,
) -> None:
    """Browse annotations and predictions in the FiftyOne App on 127.0.0.1. Ctrl-C ends it."""
    if compare:
        from dag.review.app import serve_experiments

        serve_experiments(compare, protocol=protocol, output=output, port=port, database_port=database_port)
        return
    from dag.params import load_params
    from dag.prediction import PREDICTIONS_FILE
    from dag.review.app import serve

    params = load_params()
    name = protocol or next(iter(params.evaluate.protocols))
    chosen = params.protocol(name)
    official = relabelled = None
    if chosen.dataset == params.data.dataset:
        relabel = stage_options("relabel")
        official, relabelled = Path(relabel["annotations"]), Path(relabel["out"]) / "annotations.parquet"
    serve(
        relabelled or Path(stage_options(f"convert@{chosen.dataset}")["out"]),
        params.datasets[chosen.dataset].root,
        Path(stage_options(f"predict@{name}")["out"]) / PREDICTIONS_FILE,
        split=chosen.split,
        annotated_path=official if official and official.exists() else None,
        port=port,
        database_port=database_port,
    )


def review(
    reviewer: Annotated[str | None, typer.Option(help="Name of the reviewer; git's user.name by default.")] = None,
    split: Annotated[str | None, typer.Option(help="Split to review; all splits by default.")] = None,
    persons: Annotated[int, typer.Option(min=1, help="Maximum number of persons, the least certain first.")] = 2000,
    port: Port = 5151,
    database_port: DatabasePort = None,
    collect: Annotated[
        bool, typer.Option("--collect", help="Write the saved decisions to the reviews file without opening the App.")
    ] = False,
) -> None:
    """Review proposed joints in the FiftyOne App on 127.0.0.1. Ctrl-C ends it and writes reviews/DATASET.jsonl."""
    from dag.params import load_params
    from dag.review import journal

    params = load_params()
    name, relabel = params.data.dataset, stage_options("relabel")
    reviews = Path(relabel["reviews"]) / f"{name}.jsonl"
    if collect:
        collected = journal.collect(reviews, journal.journal_path(".dag", name))
    else:
        from dag.review.app import serve_review

        collected = serve_review(
            Path(relabel["out"]) / "queue.parquet",
            Path(relabel["annotations"]),
            params.datasets[name].root,
            reviews,
            dataset=name,
            reviewer=reviewer or journal.default_reviewer(),
            split=split,
            max_persons=persons,
            port=port,
            database_port=database_port,
        )
    for line in journal.describe(collected, reviews):
        print(line)
