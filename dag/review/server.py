"""Process started by `dag.review.app`: imports FiftyOne, builds the dataset and serves the App until it is stopped.

A process of its own, because FiftyOne reads its settings once, on import, and because its server may ignore SIGTERM
while a browser is connected: this process holds no state and can be killed at any time.
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
REVIEW_DATASET = "review"


def main() -> None:
    """Run with one argument: the json of a loader's arguments and of `loader` (its name), `address`, `port`, `report`
    (a file descriptor), `mongod` (a pid), `log`.

    Writes one line to `report`: "loaded", or "error: " and the text of a `UserError`. Standard input is a pipe from
    the parent process; its end means that the parent was killed.
    """
    arguments = json.loads(sys.argv[1])
    address, port, mongod, log = (arguments.pop(name) for name in ("address", "port", "mongod", "log"))
    threading.Thread(target=_exit_with_parent, args=[mongod], daemon=True).start()
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


def load_instances(
    persons: str, images_root: str, predictions: str | None, split: str | None, annotated: str | None = None
) -> None:
    """Build the dataset from files; arguments as those of `dag.review.app.serve`, None for no predictions.

    Raises:
        UserError: as `read_annotations`, `read_predictions` and `build_dataset`; or the skeletons of annotations and
            predictions differ.
    """
    from dag.annotation import read_annotations
    from dag.evaluation.coco.arrays import results_by_output
    from dag.prediction import read_predictions

    annotations, skeleton = read_annotations(persons, split)
    poses, predicted_skeleton = read_predictions(predictions) if predictions else ([], skeleton)
    if predicted_skeleton != skeleton:
        got = predicted_skeleton.name
        raise UserError("different skeleton", where=predictions, expected=skeleton.name, got=got)
    # Imported late: FiftyOne takes seconds to import, and wrong input is reported without it.
    from dag.review.dataset import build_dataset

    before = read_annotations(annotated, split)[0] if annotated else []
    outputs = results_by_output(poses, skeleton)
    build_dataset(DATASET, annotations, outputs, skeleton, images_root, annotated=before)


def load_experiments(experiments: list[str], protocol: str | None, output: str | None) -> None:
    """Build the dataset from the annotations and the predictions of two experiments.

    Raises:
        UserError: as `read_experiments` and `build_dataset`.
    """
    from dag.report.experiments import read_experiments

    first, second = read_experiments(experiments, protocol, output)
    names = [re.sub(r"\W", "_", Path(name).name) for name in experiments]
    if names[0] == names[1] or not all(name.isidentifier() for name in names):
        names = ["first", "second"]
    from dag.review.dataset import build_dataset

    results = dict(zip(names, (first.results, second.results)))
    annotations = first.annotations
    skeleton, root = annotations.skeleton, annotations.root
    build_dataset(DATASET, annotations.persons, results, skeleton, root, compared=(names[0], names[1]))


def load_review(
    queue: str,
    persons: str,
    images_root: str,
    reviews: str,
    journal: str,
    reviewer: str,
    split: str | None,
    max_persons: int,
) -> None:
    """Build the dataset of the review queue, and hook the journal of decisions into the App's server.

    Raises:
        UserError: as `read_decisions`, `read_queue` and `build_queue_dataset`.
    """
    from dag.relabel.reviews import read_decisions
    from dag.review.queue import read_queue

    images, skeleton, queued = read_queue(queue, persons, read_decisions(reviews), split=split, max_persons=max_persons)
    from dag.review.queue_dataset import build_queue_dataset
    from dag.review.save_hook import install_save_hook

    build_queue_dataset(REVIEW_DATASET, images, skeleton, images_root, reviewer=reviewer, journal=journal)
    install_save_hook()
    limit = f"; the {max_persons} least certain are loaded" if queued > max_persons else ""
    print(f"{queued} persons with queued joints{limit}", flush=True)


LOADERS = {"instances": load_instances, "experiments": load_experiments, "review": load_review}


def _exit_with_parent(mongod: int) -> None:
    sys.stdin.read()
    with suppress(ProcessLookupError):
        os.kill(mongod, signal.SIGTERM)
    os._exit(1)


if __name__ == "__main__":
    main()
