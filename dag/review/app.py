"""`dag-pose app`: own database, dataset and FiftyOne App on the loopback interface, until stopped."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from dag.errors import UserError
from dag.review.database import running_database
from dag.review.journal import Collected, check_writable, collect, journal_path
from dag.review.process import check_port, stop, tail, wait_for_port

START_SECONDS = 60.0
PLUGIN = Path(__file__).parent / "plugin"


def serve(
    persons_path: str | Path,
    images_root: str | Path,
    predictions_path: str | Path | None,
    *,
    annotated_path: str | Path | None = None,
    split: str | None = None,
    address: str = "127.0.0.1",
    port: int = 5151,
    database_port: int | None = None,
    state_dir: str | Path = ".dag",
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve annotations and predictions until SIGINT or SIGTERM; then stop the App and the database.

    Nothing is written outside `state_dir`, nothing is sent anywhere, no browser is opened.

    Args:
        persons_path: annotation table.
        images_root: folder that `image_path` is relative to.
        predictions_path: table of predictions; without them (None, or no such file yet) only annotations are shown.
        annotated_path: annotations before relabelling, shown beside; left out when None.
        split: of the annotations; all when None.
        address, port: where the App listens.
        database_port: of the database on 127.0.0.1; a free one when None.
        ready: is called with the App's URL once it answers; None prints it.

    Raises:
        UserError: bad input, a port that is taken (before anything is started), no mongod, or it runs already.
    """
    if predictions_path is not None and not Path(predictions_path).exists():
        print(f"no predictions yet ({predictions_path}): annotations only; `dvc repro` writes them", flush=True)
        predictions_path = None
    inputs = {
        "loader": "instances",
        "persons": _absolute(persons_path),
        "images_root": _absolute(images_root),
        "predictions": _absolute(predictions_path) if predictions_path else None,
        "annotated": _absolute(annotated_path) if annotated_path else None,
        "split": split,
    }
    _serve(
        inputs, address=address, port=port, database_port=database_port, state_dir=state_dir, ready=ready or _print_url
    )


def serve_experiments(
    experiments: Sequence[str], *, protocol: str | None, output: str | None, port: int, database_port: int | None
) -> None:
    """As `serve`, for the predictions of two experiments (`dag.report.experiments.read_experiments`)."""
    inputs = {"loader": "experiments", "experiments": list(experiments), "protocol": protocol, "output": output}
    _serve(inputs, address="127.0.0.1", port=port, database_port=database_port, state_dir=".dag", ready=_print_url)


def serve_review(
    queue_path: str | Path,
    persons_path: str | Path,
    images_root: str | Path,
    reviews_path: str | Path,
    *,
    dataset: str,
    reviewer: str,
    split: str | None = None,
    people: int = 2000,
    port: int = 5151,
    database_port: int | None = None,
    state_dir: str | Path = ".dag",
    ready: Callable[[str], None] | None = None,
) -> Collected:
    """As `serve`, for pending proposals; a decision is on disk as soon as the App has saved it.

    Decisions of an interrupted run are collected first, those of this run at its end.

    Args:
        queue_path: table of the relabel stage.
        persons_path: annotations before relabelling.
        reviews_path: file of decisions.
        dataset: name of the journal in `state_dir`.
        reviewer: name of the reviewer.
        people: maximum number of persons, the least certain first.

    Raises:
        UserError: as `serve`; a line of the reviews is malformed, or they cannot be written.
    """
    journal = journal_path(state_dir, dataset)
    check_writable(reviews_path, journal)
    collect(reviews_path, journal)
    inputs = {"loader": "review", "queue": _absolute(queue_path), "persons": _absolute(persons_path)}
    inputs |= {"images_root": _absolute(images_root), "reviews": _absolute(reviews_path), "journal": str(journal)}
    inputs |= {"reviewer": reviewer, "split": split, "people": people}
    where: dict[str, Any] = {"address": "127.0.0.1", "port": port, "database_port": database_port}
    try:
        _serve(
            inputs, **where, state_dir=state_dir, ready=ready or _print_url, page="review?view=queue", plugins=PLUGIN
        )
    finally:
        collected = collect(reviews_path, journal)
    return collected


def _print_url(url: str) -> None:
    print(f"The App is at {url} (Ctrl-C stops it)", flush=True)


def _serve(
    inputs: dict[str, Any],
    *,
    address: str,
    port: int,
    database_port: int | None,
    state_dir: str | Path,
    ready: Callable[[str], None],
    page: str = "instances",
    plugins: Path | None = None,
) -> None:
    check_port(address, port, "--port")
    log = Path(state_dir).resolve() / "fiftyone" / "app.log"
    with _until_signal(), running_database(state_dir, database_port) as database:
        variables = {**database.environment, **({"FIFTYONE_PLUGINS_DIR": str(plugins)} if plugins else {})}
        arguments = {**inputs, "address": address, "port": port, "log": str(log), "mongod": database.pid}
        with _server(arguments, variables) as server:
            if not wait_for_port(address, port, server, START_SECONDS):
                raise UserError("the App did not start", where=log, got=tail(log), do="see the log")
            ready(f"http://{address}:{port}/datasets/{page}")
            status = server.wait()
        raise UserError("the App ended by itself", where=log, got=f"exit status {status}", do="see the log")


def _absolute(path: str | Path) -> str:
    return str(Path(path).expanduser().resolve())


@contextmanager
def _server(arguments: dict, variables: dict[str, str]) -> Iterator[psutil.Popen]:
    """The process that has loaded the dataset and serves the App; stopped, whatever it does, when the block ends."""
    receive, report = os.pipe()
    text = json.dumps({**arguments, "report": report})
    process = psutil.Popen(
        [sys.executable, "-m", "dag.review.server", text],
        stdin=subprocess.PIPE,
        env={**os.environ, **variables},
        pass_fds=[report],
        start_new_session=True,
    )
    os.close(report)
    try:
        with os.fdopen(receive) as reports:
            said = reports.readline().strip()
        if said != "loaded":
            raise UserError(said.removeprefix("error: ") or f"loading failed with exit status {process.wait()}")
        yield process
    finally:
        stop(process, seconds=3.0)
        process.stdin.close()


@contextmanager
def _until_signal() -> Iterator[None]:
    """End the block on SIGINT or SIGTERM; further signals are ignored until everything is stopped."""

    def on_signal(number: int, frame: object) -> None:
        for one in before:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, on_signal)
    try:
        yield
    except KeyboardInterrupt:
        print("stopped", flush=True)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
