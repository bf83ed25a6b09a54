"""The process behind `serve`: imports FiftyOne, builds the dataset and serves the App until it is stopped.

A separate process, because FiftyOne reads its settings once, on import, and because its server may survive SIGTERM while
a browser is connected: this process can be killed at any time.
"""

import json
import os
import re
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

from dag.errors import UserError

DATASET = "instances"
REVIEW = "review"


def main() -> None:
    """Argument: json of the arguments of a loader, and of `loader` (its name), `address`, `port`, `report` (a file
    descriptor), `mongod` (a pid), `log`.

    Writes one line to `report`: "loaded", or "error: " and the text of a `UserError`. Standard input is a pipe from
    the owner, which ends when the owner is killed.
    """
    arguments = json.loads(sys.argv[1])
    address, port, mongod, log = (arguments.pop(name) for name in ("address", "port", "mongod", "log"))
    threading.Thread(target=_end_with_owner, args=[mongod], daemon=True).start()
    with os.fdopen(arguments.pop("report"), "w") as report:
        try:
            LOADERS[arguments.pop("loader")](**arguments)
        except UserError as error:
            report.write(f"error: {error}\n")
            sys.exit(1)
        report.write("loaded\n")
    from fiftyone.server.main import start_server

    sys.stderr.flush()
    with Path(log).open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    start_server(port=port, address=address)


def load(
    persons: str, images_root: str, predictions: str | None, split: str | None, annotated: str | None = None
) -> None:
    """Build the dataset from files; arguments as those of `dag.review.app.serve`, None for no predictions.

    Raises:
        UserError: as `read_annotations`, `read_predictions` and `build_dataset`; or the two have different skeletons.
    """
    from dag.annotation import read_annotations
    from dag.evaluation.coco.arrays import results_by_output
    from dag.prediction import read_predictions

    rows, skeleton = read_annotations(persons, split)
    poses, predicted = read_predictions(predictions) if predictions else ([], skeleton)
    if predicted != skeleton:
        raise UserError("another skeleton", where=predictions, expected=skeleton.name, got=predicted.name)
    # Imported late: FiftyOne takes seconds to import, and invalid input is found without it.
    from dag.review.dataset import build_dataset

    before = read_annotations(annotated, split)[0] if annotated else []
    outputs = results_by_output(poses, skeleton)
    build_dataset(DATASET, rows, outputs, skeleton, images_root, annotated=before)


def load_experiments(experiments: list[str], protocol: str | None, output: str | None) -> None:
    """Build the dataset from the annotations and the predictions of two experiments.

    Raises:
        UserError: as `read_experiments` and `build_dataset`.
    """
    from dag.report.experiments import read_experiments

    first, second = read_experiments(experiments, protocol, output)
    names = [re.sub(r"\W", "_", Path(name).name) for name in experiments]
    if names[0] == names[1] or not all(name.isidentifier() for name in names):
        names = ["before", "after"]
    from dag.review.dataset import build_dataset

    results = dict(zip(names, (first.results, second.results)))
    rows = first.rows
    build_dataset(DATASET, rows.persons, results, rows.skeleton, rows.root, compared=(names[0], names[1]))


def load_review(
    queue: str,
    persons: str,
    images_root: str,
    reviews: str,
    journal: str,
    reviewer: str,
    split: str | None,
    people: int,
) -> None:
    """Build the dataset of pending proposals; saves in the App become decisions in `journal`.

    Raises:
        UserError: as `read_decisions`, `read_queue` and `build_review`.
    """
    from dag.relabel.reviews import read_decisions
    from dag.review.queue import read_queue

    images, skeleton, waiting = read_queue(queue, persons, read_decisions(reviews), split=split, people=people)
    from dag.review.handles import patch_sample_routes
    from dag.review.queue_dataset import build_review

    build_review(REVIEW, images, skeleton, images_root, reviewer=reviewer, journal=journal)
    patch_sample_routes()
    shown = f"; the {people} least certain are loaded" if waiting > people else ""
    print(f"{waiting} people with proposals wait{shown}", flush=True)


LOADERS = {"instances": load, "experiments": load_experiments, "review": load_review}


def _end_with_owner(mongod: int) -> None:
    sys.stdin.read()
    with suppress(ProcessLookupError):
        os.kill(mongod, signal.SIGTERM)
    os._exit(1)


if __name__ == "__main__":
    main()
