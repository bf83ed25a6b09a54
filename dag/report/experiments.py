"""What experiments predicted and on what they were judged, wherever they lie: a revision, a folder, the workspace."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from jaxtyping import Bool
from ruamel.yaml import YAML, YAMLError

from dag.errors import UserError
from dag.evaluation.arrays import Results, Truth, truth_of
from dag.evaluation.protocol import results_by_output, rows_of
from dag.person import Person
from dag.photograph import read_photographs
from dag.prediction import read_predictions
from dag.skeleton import Skeleton

WORKSPACE = "workspace"
FILE = "predictions.parquet"

Find = Callable[[str], Path | None]
"""From a path in a project to where the file lies now; None where there is none."""


@dataclass(frozen=True, eq=False)
class Rows:
    """What predictions of a protocol are judged on.

    Attributes:
        dataset, split, boxes, root: as params.yaml has them; root is the photographs' folder.
        persons: rows, in the order of `truth`.
    """

    protocol: str
    dataset: str
    split: str
    boxes: str
    root: str
    persons: list[Person]
    truth: Truth
    skeleton: Skeleton


@dataclass(frozen=True, eq=False)
class Experiment:
    """Predictions of one output.

    Attributes:
        name: as it was asked for.
        commit: of a revision, else None.
        output: whose predictions these are.
    """

    name: str
    commit: str | None
    output: str
    rows: Rows
    results: Results


def read_experiments(names: list[str], protocol: str | None, output: str | None) -> list[Experiment]:
    """Read each of `names`, or the workspace where there is none.

    Args:
        protocol: None for the first of the first experiment.
        output: None for each experiment's `evaluate.output`; "heatmap", or the first, where it has no such output.

    Raises:
        UserError: one experiment twice, an unknown one, no such protocol or output in one, or files that DVC knows but
            has not got; experiments that were judged on different rows.
    """
    experiments: list[Experiment] = []
    for name in names or [WORKSPACE]:
        with files_of(name) as (find, commit):
            experiment = _read(name, commit, find, protocol, output)
        protocol = experiment.rows.protocol
        for other in experiments:
            if name == other.name or (commit and commit == other.commit):
                same = name if name == other.name else f"{other.name} and {name}, both {commit}"
                raise UserError("one experiment twice", expected="different ones", got=same)
        experiments.append(experiment)
    for other in experiments[1:]:
        _check_rows(experiments[0], other)
    return experiments


def _read(name: str, commit: str | None, find: Find, protocol: str | None, output: str | None) -> Experiment:
    rows, headline = _read_rows(name, find, protocol)
    predictions = find(f"predictions/{rows.protocol}/{FILE}")
    if predictions is None:
        raise UserError(f"no predictions of {rows.protocol}", where=name, do="`dvc repro evaluate` makes them")
    found, skeleton = read_predictions(predictions)
    if skeleton != rows.skeleton:
        raise UserError("another skeleton", where=name, expected=rows.skeleton.name, got=skeleton.name)
    outputs = results_by_output(found, skeleton)
    if not outputs:
        raise UserError("predictions of nobody", where=f"{name}, {rows.protocol}")
    wanted = [output] if output else [headline, "heatmap", *outputs]
    chosen = next((key for key in wanted if key in outputs), None)
    if chosen is None:
        raise UserError("no such output", where=name, expected=f"one of {', '.join(outputs)}", got=repr(output))
    return Experiment(name, commit, chosen, rows, outputs[chosen])


def _read_rows(name: str, find: Find, protocol: str | None) -> tuple[Rows, str]:
    """The rows of a protocol, and the experiment's own choice of an output."""
    path = find("params.yaml")
    if path is None:
        raise UserError("no params.yaml", where=name, do="run dag-pose in the project's root")
    try:
        params: Any = YAML(typ="safe").load(path.read_text())
        protocols, headline = params["evaluate"]["protocols"], params["evaluate"]["output"]
        protocol = protocol or next(iter(protocols))
        if protocol not in protocols:
            known = f"one of {', '.join(protocols)}"
            raise UserError("no such protocol", where=name, expected=known, got=repr(protocol))
        chosen = protocols[protocol]
        dataset, split, boxes = (str(chosen[key]) for key in ("dataset", "split", "boxes"))
        root = params["datasets"][dataset]["root"]
    except (KeyError, TypeError, StopIteration, YAMLError) as error:
        raise UserError("params.yaml without protocols", where=name, got=repr(error)) from None
    persons = find(str(chosen.get("labels", f"data/persons/{dataset}.parquet")))
    if persons is None:
        raise UserError(f"no rows of {dataset}", where=name, do="`dvc repro convert` makes them")
    rows, skeleton = rows_of(persons, split)
    if not rows:
        raise UserError("nobody to judge by: the split's annotations are not public", where=f"{name}, {protocol}")
    photographs = find(f"data/photographs/{dataset}.parquet")
    ids = [known.image_id for known in read_photographs(photographs, split)] if photographs else []
    truth = truth_of(rows, skeleton, ids)
    return Rows(protocol, dataset, split, boxes, root, rows, truth, skeleton), headline


@contextmanager
def files_of(name: str) -> Iterator[tuple[Find, str | None]]:
    """How to find an experiment's files while the block lasts, and its commit."""
    if name == WORKSPACE:
        yield _existing, None
    elif Path(name).is_dir():
        if not (Path(name) / FILE).is_file():
            raise UserError("no predictions in this folder", where=name, expected=FILE)
        yield lambda path: Path(name) / FILE if Path(path).name == FILE else _existing(path), None
    else:
        with TemporaryDirectory() as folder:
            yield _files_of_revision(name, Path(folder))


def _existing(path: str) -> Path | None:
    return Path(path) if Path(path).is_file() else None


def _files_of_revision(name: str, folder: Path) -> tuple[Find, str]:
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc_data.index import DataIndexError

    try:
        files = DVCFileSystem(".", rev=name)
        commit = files.repo.get_rev()
    except DvcException:
        known = ", ".join([WORKSPACE, *revisions()])
        expected = f"a commit, a folder with {FILE}, or one of {known}"
        raise UserError("unknown experiment", expected=expected, got=repr(name)) from None

    def find(path: str) -> Path | None:
        target = folder / path.replace("/", "_")
        try:
            files.get_file(path, str(target))
        except FileNotFoundError:
            return None
        except (DataIndexError, DvcException):
            raise UserError(
                "not in DVC's cache",
                where=f"{path} of {name}",
                do=f"`dvc fetch` it, or `dvc exp apply {name}` and repro",
            ) from None
        return target

    return find, commit[:7]


def revisions() -> list[str]:
    """Experiments, branches and tags of the project."""
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    try:
        repo = Repo(".")
    except NotDvcRepoError:
        raise UserError("not a DVC project", where=Path.cwd(), do="run dag-pose in the project's root") from None
    with repo:
        experiments = [name for found in repo.experiments.ls(all_commits=True).values() for name, _ in found]
        return [*experiments, *repo.scm.list_branches(), *repo.scm.list_tags()]


def _check_rows(first: Experiment, other: Experiment) -> None:
    if first.rows.skeleton != other.rows.skeleton:
        names = (first.rows.skeleton.name, other.rows.skeleton.name)
        raise UserError("another skeleton", where=other.name, expected=names[0], got=names[1])
    differ = different_rows(first.rows.truth, other.rows.truth)
    if differ:
        raise UserError(
            f"judged on different rows than {first.name}",
            where=f"{other.name}, {first.rows.protocol}",
            expected="the same people",
            got=f"{differ} of {len(first.rows.truth)} and {len(other.rows.truth)} that differ",
            do="evaluate both on the same rows",
        )


def different_rows(first: Truth, second: Truth) -> int:
    """Number of people whom only one has, or whose rows differ in what figures are computed from."""
    _, ours, theirs = np.intersect1d(first.person_id, second.person_id, return_indices=True)
    same: Bool[np.ndarray, " n"] = first.image_id[ours] == second.image_id[theirs]
    for name in ("keypoints_xy", "visibility", "area", "bbox_xywh", "is_crowd", "occluder", "crowd_index", "max_iou"):
        equal = np.isclose(getattr(first, name)[ours], getattr(second, name)[theirs], rtol=0, atol=0, equal_nan=True)
        same &= equal.reshape(len(ours), -1).all(1)
    return len(first) + len(second) - len(ours) - int(same.sum())
