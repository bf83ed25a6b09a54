"""Serves the FiftyOne App on 127.0.0.1 until it is interrupted: starts and stops the database and the App's server."""

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

    Writes only below `state_dir`, sends nothing over the network, opens no browser.

    Args:
        persons_path: table of annotations.
        images_root: folder that `image_path` of the annotations is relative to.
        predictions_path: table of predictions; if None or missing, only annotations are shown.
        annotated_path: table of the annotations before relabelling, shown in addition; None to omit them.
        split: of the annotations; all splits if None.
        address, port: of the App.
        database_port: on 127.0.0.1; a free port if None.
        ready: called with the App's URL as soon as it answers; None prints the URL.

    Raises:
        UserError: wrong input, a port is taken (checked before anything is started), mongod is missing, or the
            project's App is running already.
    """
    if predictions_path is not None and not Path(predictions_path).exists():
        print(f"no predictions ({predictions_path}): only annotations are shown; run `dvc repro predict`", flush=True)
        predictions_path = None
    arguments = {
        "loader": "instances",
        "persons": _absolute(persons_path),
        "images_root": _absolute(images_root),
        "predictions": _absolute(predictions_path) if predictions_path else None,
        "annotated": _absolute(annotated_path) if annotated_path else None,
        "split": split,
    }
    where: dict[str, Any] = {"address": address, "port": port, "database_port": database_port}
    _serve(arguments, **where, state_dir=state_dir, ready=ready or _print_url)


def serve_experiments(
    experiments: Sequence[str], *, protocol: str | None, output: str | None, port: int, database_port: int | None
) -> None:
    """As `serve`, of the predictions of two experiments (`dag.report.experiments.read_experiments`)."""
    arguments = {"loader": "experiments", "experiments": list(experiments), "protocol": protocol, "output": output}
    where: dict[str, Any] = {"address": "127.0.0.1", "port": port, "database_port": database_port}
    _serve(arguments, **where, state_dir=".dag", ready=_print_url)


def serve_review(
    queue_path: str | Path,
    persons_path: str | Path,
    images_root: str | Path,
    reviews_path: str | Path,
    *,
    dataset: str,
    reviewer: str,
    split: str | None = None,
    max_persons: int = 2000,
    port: int = 5151,
    database_port: int | None = None,
    state_dir: str | Path = ".dag",
    ready: Callable[[str], None] | None = None,
) -> Collected:
    """As `serve`, of the review queue; every decision is on disk before the App reports it as saved.

    Decisions in the journal are collected into the reviews file at the start, and again at the end.

    Args:
        queue_path: table of proposals of the relabel stage.
        persons_path: table of the annotations before relabelling.
        reviews_path: file of the decisions.
        dataset: name of the data set; also of its journal in `state_dir`.
        reviewer: name written into the decisions.
        max_persons: maximum number of persons with queued joints, the least certain first.

    Raises:
        UserError: as `serve`; or a line of the reviews file is malformed, or the decisions cannot be written.
    """
    journal = journal_path(state_dir, dataset)
    check_writable(reviews_path, journal)
    collect(reviews_path, journal)
    arguments = {
        "loader": "review",
        "queue": _absolute(queue_path),
        "persons": _absolute(persons_path),
        "images_root": _absolute(images_root),
        "reviews": _absolute(reviews_path),
        "journal": str(journal),
        "reviewer": reviewer,
        "split": split,
        "max_persons": max_persons,
    }
    where: dict[str, Any] = {"address": "127.0.0.1", "port": port, "database_port": database_port}
    page = "review?view=queue"
    try:
        _serve(arguments, **where, state_dir=state_dir, ready=ready or _print_url, page=page, plugins=PLUGIN)
    finally:
        collected = collect(reviews_path, journal)
    return collected


def _print_url(url: str) -> None:
    print(f"The App is at {url} (Ctrl-C stops it)", flush=True)


def _serve(
    arguments: dict[str, Any],
    *,
    address: str,
    port: int,
    database_port: int | None,
    state_dir: str | Path,
    ready: Callable[[str], None],
    page: str = "instances",
    plugins: Path | None = None,
) -> None:
    """Serve the dataset that the server's loader builds from `arguments`, at the path `page` of the App."""
    check_port(address, port, "--port")
    log = Path(state_dir).resolve() / "fiftyone" / "app.log"
    with _until_interrupted(), running_database(state_dir, database_port) as database:
        variables = {**database.environment, **({"FIFTYONE_PLUGINS_DIR": str(plugins)} if plugins else {})}
        arguments = {**arguments, "address": address, "port": port, "log": str(log), "mongod": database.pid}
        with _server(arguments, variables) as server:
            if not wait_for_port(address, port, server, START_SECONDS):
                raise UserError("the App did not start", where=log, got=tail(log), do="see the log")
            ready(f"http://{address}:{port}/datasets/{page}")
            status = server.wait()
        raise UserError("the App ended unexpectedly", where=log, got=f"exit status {status}", do="see the log")


def _absolute(path: str | Path) -> str:
    return str(Path(path).expanduser().resolve())


@contextmanager
def _server(arguments: dict, variables: dict[str, str]) -> Iterator[psutil.Popen]:
    """The server process, after it has loaded the dataset; stopped when the block ends."""
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
            line = reports.readline().strip()
        if line != "loaded":
            raise UserError(line.removeprefix("error: ") or f"loading failed with exit status {process.wait()}")
        yield process
    finally:
        stop(process, seconds=3.0)
        process.stdin.close()


@contextmanager
def _until_interrupted() -> Iterator[None]:
    """End the block without an error on SIGINT or SIGTERM; further signals are ignored until everything is stopped."""

    def interrupt(number: int, frame: object) -> None:
        for each in handlers:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in handlers:
        signal.signal(number, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        print("stopped", flush=True)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
