"""The command `dag-pose`. Heavy imports wait inside the commands: `--help` answers at once."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from dag.errors import UserError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
params_app = typer.Typer(no_args_is_help=True, help="List, choose and check whole configurations.")
app.add_typer(params_app, name="params")
weights_app = typer.Typer(no_args_is_help=True, help="Look at files of weights.")
app.add_typer(weights_app, name="weights")


def main() -> None:
    """Entry point: an error that the user can mend is one line and exit status 1."""
    try:
        app()
    except UserError as error:
        sys.exit(f"error: {error}")


@params_app.command("list")
def list_presets() -> None:
    """List the presets with what they are."""
    from dag.presets import describe, preset_names

    for name in preset_names():
        print(f"{name}\n    " + describe(name).replace("\n", "\n    "))


@params_app.command("use")
def use(name: str) -> None:
    """Replace params.yaml by the preset NAME and say what changed."""
    from dag.presets import use_preset

    changes = use_preset(name)
    for key, before, after in changes:
        print(f"{key}: {before} -> {after}")
    print(f"params.yaml is now the preset {name}: {len(changes)} keys changed. `dvc repro` runs it.")


@params_app.command("check")
def check(path: Path = Path("params.yaml")) -> None:
    """Check params.yaml: unknown keys, wrong types and values."""
    from dag.params import load_params

    load_params(path)
    print(f"{path}: valid")


@app.command("fetch")
def fetch_files(
    name: str,
    to: Annotated[Path | None, typer.Option(help="The data set's folder; external/NAME when left out.")] = None,
    accept: Annotated[bool, typer.Option("--accept", help="You accept the data set's terms.")] = False,
) -> None:
    """Fetch the official files of the data set NAME, or say how a person does."""
    from dag.fetch import fetch

    folder = to or Path("external") / name
    for line in fetch(name, folder, accept=accept):
        print(line)
    print(f"{name} is in {folder}")


@app.command("occlusion-sheet")
def occlusion_sheet(
    out: Path, cache: Path = Path("data/cache"), pool: Path = Path("data/pool.arrow"), people: int = 3, seed: int = 1
) -> None:
    """Draw people of the cache to OUT: clean, with masked joints, with somebody pasted, and with both."""
    from dag.data.occlusion_sheet import write_occlusion_sheet

    write_occlusion_sheet(out, cache, pool, people=people, seed=seed)


@weights_app.command("inspect")
def inspect_file(file: Path) -> None:
    """Say what FILE is and what of it would load. Nothing that it brings along is run."""
    from dag.weights import inspect_weights

    for line in inspect_weights(file):
        print(line)


@app.command()
def export(
    model: Annotated[Path, typer.Option(help="Folder of a trained model.")] = Path("models/pose"),
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("models/pose.onnx"),
) -> None:
    """Write a trained model as ONNX, its pre- and post-processing described in the file."""
    from dag.export import export_onnx

    for name, text in export_onnx(model, out).items():
        print(f"{name}: {text}")
    print(f"wrote {out}")


@app.command("evaluate")
def evaluate_files(
    ground_truth: Annotated[Path, typer.Argument(help="COCO annotations.")],
    results: Annotated[Path, typer.Argument(help="COCO results.")],
    protocol: Annotated[str, typer.Option(help="coco, crowdpose, ochuman, lsp_extended or figures.")] = "coco",
    everything: Annotated[bool, typer.Option("--all", help="Also every stratum and joint.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as json.")] = False,
) -> None:
    """Judge anyone's COCO results: AP and AR, by occlusion, and what is wrong. docs/metrics.md tells the figures."""
    import json

    from dag.evaluation import evaluate_keypoints
    from dag.summary import print_figures

    figures = evaluate_keypoints(ground_truth, results, protocol)
    if as_json:
        print(json.dumps(figures, indent=1))
    else:
        print_figures(figures, everything=everything)


@app.command("submission")
def submission(
    name: Annotated[str, typer.Argument(help="Of the method, for the file's name.")],
    protocol: Annotated[str, typer.Option(help="A protocol of params.yaml that was evaluated.")],
    output: Annotated[str, typer.Option(help="graph, heatmap or simcc.")] = "graph",
    to: Annotated[Path, typer.Option(help="Folder to write to.")] = Path(),
) -> None:
    """Write a protocol's predictions as the zip that COCO's evaluation server takes."""
    from dag.evaluation.protocol import write_submission
    from dag.params import load_params
    from dag.prediction import read_predictions

    protocols = load_params().evaluate.protocols
    if protocol not in protocols:
        raise UserError(
            "unknown protocol", where="params.yaml", expected=f"one of {', '.join(protocols)}", got=protocol
        )
    found, _ = read_predictions(Path(f"predictions/{protocol}/predictions.parquet"))
    chosen = [prediction for prediction in found if prediction.output == output]
    print(f"wrote {write_submission(to, chosen, split=protocols[protocol].split, name=name)}")


@app.command()
def summary() -> None:
    """Show the metrics of the last run and where everything lies."""
    from dag.summary import print_summary

    print_summary(Path("results"))


@app.command("report")
def report(
    experiments: Annotated[
        list[str] | None,
        typer.Argument(help='DVC experiments, branches, tags, commits, folders of predictions, or "workspace".'),
    ] = None,
    protocol: Annotated[str | None, typer.Option(help="A protocol of params.yaml; the first when left out.")] = None,
    output: Annotated[str | None, typer.Option(help="graph, heatmap, ...; evaluate.output when left out.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; report.html or STUDY.html when left out.")] = None,
    images: Annotated[int, typer.Option(min=0, help="People drawn who got better, and who got worse.")] = 12,
    study: Annotated[Path | None, typer.Option(help="A study's file: its table over seeds instead.")] = None,
    figure: Annotated[list[str] | None, typer.Option(help="Of the study's table; AP and AP_most_occluded.")] = None,
) -> None:
    """Compare EXPERIMENTS with the first on one page: figures with intervals, charts, people who changed most.

    With --study, the table of a study's rows over their seeds, also as a page.
    """
    if study:
        from dag.report import write_study_report
        from dag.summary import print_rows

        path, (header, *rows) = write_study_report(study, out=out, protocol=protocol, figures=figure or ())
        print_rows(study.stem, header, rows)
    else:
        from dag.report import write_report

        path = write_report(experiments or [], out=out, protocol=protocol, output=output, people=images)
    print(f"wrote {path}: open it in a browser, no network needed")


@app.command("queue")
def queue(study: Annotated[Path, typer.Argument(help="A study's file, such as experiments/ablation.yaml.")]) -> None:
    """Queue every run of a STUDY that is not done as a DVC experiment; `dvc queue start` runs them."""
    from dag.study import queue_study

    queued, there = queue_study(study)
    print(f"queued {len(queued)}, {len(there)} are done or queued: `dvc queue start --jobs N` runs N at a time")


@app.command("plots-page")
def plots_page() -> None:
    """Have `dvc plots` draw without a network: its page gets the scripts inside."""
    from dag.report.plots_page import write_plots_page

    print(f"wrote {write_plots_page()}: `dvc plots show` and `dvc plots diff` use it")


@app.command("app")
def browse(
    protocol: Annotated[str | None, typer.Option(help="A protocol of params.yaml; the first when left out.")] = None,
    port: Annotated[int, typer.Option(help="Port of the App on 127.0.0.1.")] = 5151,
    database_port: Annotated[int | None, typer.Option(help="Port of the database; a free one when left out.")] = None,
    compare: Annotated[
        tuple[str, str] | None, typer.Option(metavar="EXP1 EXP2", help="Two experiments, commits or folders.")
    ] = None,
    output: Annotated[str | None, typer.Option(help="Of the experiments compared; the headline when left out.")] = None,
) -> None:
    """Browse annotations and predictions in the FiftyOne App on 127.0.0.1, until Ctrl-C."""
    if compare:
        from dag.review.app import serve_experiments

        serve_experiments(compare, protocol=protocol, output=output, port=port, database_port=database_port)
        return
    from dag.params import load_params

    params = load_params()
    name = protocol or next(iter(params.evaluate.protocols))
    if name not in params.evaluate.protocols:
        known = ", ".join(params.evaluate.protocols)
        raise UserError("unknown protocol", where="params.yaml", expected=f"one of {known}", got=repr(name))
    rows = params.evaluate.protocols[name]
    annotated, relabelled = Path("data/deduped.parquet"), Path("data/relabelled/persons.parquet")
    persons = relabelled if rows.dataset == params.data.dataset else Path(f"data/persons/{rows.dataset}.parquet")
    from dag.review.app import serve

    serve(
        persons,
        params.datasets[rows.dataset].root,
        Path(f"predictions/{name}/predictions.parquet"),
        split=rows.split,
        annotated_path=annotated if persons == relabelled and annotated.exists() else None,
        port=port,
        database_port=database_port,
    )


@app.command("review")
def review(
    reviewer: Annotated[str | None, typer.Option(help="Your name; git's user.name when left out.")] = None,
    split: Annotated[str | None, typer.Option(help="Of the proposals; all when left out.")] = None,
    people: Annotated[int, typer.Option(min=1, help="Load at most so many people, the least certain first.")] = 2000,
    port: Annotated[int, typer.Option(help="Port of the App on 127.0.0.1.")] = 5151,
    database_port: Annotated[int | None, typer.Option(help="Port of the database; a free one when left out.")] = None,
    collect: Annotated[bool, typer.Option("--collect", help="Only write what was decided to reviews/.")] = False,
) -> None:
    """Decide about proposed joints in the FiftyOne App on 127.0.0.1, until Ctrl-C; then write reviews/DATASET.jsonl."""
    from dag.params import load_params
    from dag.review import journal

    params = load_params()
    name = params.data.dataset
    reviews = Path(f"reviews/{name}.jsonl")
    if collect:
        collected = journal.collect(reviews, journal.journal_path(".dag", name))
    else:
        from dag.review.app import serve_review

        collected = serve_review(
            Path("data/relabelled/queue.parquet"),
            Path("data/deduped.parquet"),
            params.datasets[name].root,
            reviews,
            dataset=name,
            reviewer=reviewer or journal.default_reviewer(),
            split=split,
            people=people,
            port=port,
            database_port=database_port,
        )
    for line in journal.describe(collected, reviews):
        print(line)
