"""Predictions of experiments and the annotations they are evaluated on: of a revision, a folder or the workspace."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from jaxtyping import Bool
from ruamel.yaml import YAML, YAMLError

from dag.annotation import PersonAnnotation, read_split
from dag.errors import UserError
from dag.evaluation import Evaluation
from dag.evaluation.coco.arrays import GroundTruth, Results, ground_truth_of, results_by_output
from dag.image import read_image_table
from dag.prediction import PREDICTIONS_FILE, read_predictions
from dag.skeleton import Skeleton
from dag.stage import stage_options

WORKSPACE = "workspace"

Find = Callable[[str], Path | None]
"""From a path in a project to where the file lies now; None where there is none."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Annotations that predictions of a protocol are evaluated on.

    Attributes:
        dataset, split, boxes, root: as in params.yaml; root is the folder of the images.
        persons: annotations, in the order of `ground_truth`.
    """

    protocol: str
    dataset: str
    split: str
    boxes: str
    root: str
    persons: list[PersonAnnotation]
    ground_truth: GroundTruth
    skeleton: Skeleton


@dataclass(frozen=True, eq=False)
class Experiment:
    """Predictions of one output.

    Attributes:
        name: as given by the user.
        commit: of a revision, else None.
        output: the output that predicted `results`.
    """

    name: str
    commit: str | None
    output: str
    rows: Rows
    results: Results

    @cached_property
    def evaluation(self) -> Evaluation:
        """Matching, OKS and diagnosis, computed once."""
        return Evaluation(self.rows.ground_truth, self.results, self.rows.skeleton)


def read_experiments(names: list[str], protocol: str | None, output: str | None) -> list[Experiment]:
    """Read each of `names`; without names, the workspace.

    Args:
        protocol: None for the first of the first experiment.
        output: None for each experiment's `evaluate.output`; "heatmap", or the first, where it has no such output.

    Raises:
        UserError: one experiment twice, an unknown one, no such protocol or output in one, or files that DVC knows but
            has not got; experiments that were evaluated on different annotations.
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
    predictions = find(f"{_options(find, f'predict@{rows.protocol}', name)['out']}/{PREDICTIONS_FILE}")
    if predictions is None:
        raise UserError(f"no predictions of {rows.protocol}", where=name, do="`dvc repro evaluate` makes them")
    found, skeleton = read_predictions(predictions)
    if skeleton != rows.skeleton:
        raise UserError("another skeleton", where=name, expected=rows.skeleton.name, got=skeleton.name)
    outputs = results_by_output(found, skeleton)
    if not outputs:
        raise UserError("no predictions", where=f"{name}, {rows.protocol}")
    candidates = [output] if output else [headline, "heatmap", *outputs]
    chosen = next((key for key in candidates if key in outputs), None)
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
        dataset, split = (str(chosen[key]) for key in ("dataset", "split"))
        root = params["datasets"][dataset]["root"]
    except (KeyError, TypeError, StopIteration, YAMLError) as error:
        raise UserError("params.yaml without protocols", where=name, got=repr(error)) from None
    options = _options(find, f"predict@{protocol}", name)
    persons = find(options["annotations"])
    if persons is None:
        raise UserError(f"no annotations of {dataset}", where=name, do="`dvc repro convert` makes them")
    rows, skeleton = read_split(persons, split)
    if not rows:
        raise UserError(
            "no evaluated persons: the annotations of the split are not public", where=f"{name}, {protocol}"
        )
    images = find(options["images"])
    ids = [known.image_id for known in read_image_table(images, split)] if images else []
    gt = ground_truth_of(rows, skeleton, ids)
    return Rows(protocol, dataset, split, options["boxes"], root, rows, gt, skeleton), headline


def results_folder(find: Find, protocol: str, name: str) -> str:
    """Folder of an experiment's metrics by one protocol."""
    return _options(find, f"evaluate@{protocol}", name)["results"]


def _options(find: Find, stage: str, name: str) -> dict[str, str]:
    """`dag.stage.stage_options` of an experiment: its own dvc.yaml and params.yaml say where its files lie."""
    dvc_yaml, params_yaml = find("dvc.yaml"), find("params.yaml")
    if dvc_yaml is None or params_yaml is None:
        raise UserError("no dvc.yaml or params.yaml", where=name, do="run dag-pose in the project's root")
    return stage_options(stage, dvc_yaml, params_yaml)


@contextmanager
def files_of(name: str) -> Iterator[tuple[Find, str | None]]:
    """How to find an experiment's files while the block lasts, and its commit."""
    if name == WORKSPACE:
        yield _existing, None
    elif Path(name).is_dir():
        if not (Path(name) / PREDICTIONS_FILE).is_file():
            raise UserError("no predictions in this folder", where=name, expected=PREDICTIONS_FILE)
        yield (
            lambda path: Path(name) / PREDICTIONS_FILE if Path(path).name == PREDICTIONS_FILE else _existing(path),
            None,
        )
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
        expected = f"a commit, a folder with {PREDICTIONS_FILE}, or one of {known}"
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
    differ = different_rows(first.rows.ground_truth, other.rows.ground_truth)
    if differ:
        raise UserError(
            f"evaluated on different annotations than {first.name}",
            where=f"{other.name}, {first.rows.protocol}",
            expected="the same persons",
            got=f"{differ} of {len(first.rows.ground_truth)} and {len(other.rows.ground_truth)} that differ",
            do="evaluate both on the same annotations",
        )


def different_rows(first: GroundTruth, second: GroundTruth) -> int:
    """Number of persons that only one has, or whose annotations differ in what metrics are computed from."""
    _, ours, theirs = np.intersect1d(first.person_id, second.person_id, return_indices=True)
    same: Bool[np.ndarray, " n"] = first.image_id[ours] == second.image_id[theirs]
    for name in ("keypoints_xy", "visibility", "area", "bbox_xywh", "is_crowd", "occluder", "crowd_index", "max_iou"):
        equal = np.isclose(getattr(first, name)[ours], getattr(second, name)[theirs], rtol=0, atol=0, equal_nan=True)
        same &= equal.reshape(len(ours), -1).all(1)
    return len(first) + len(second) - len(ours) - int(same.sum())
