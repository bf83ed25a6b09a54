"""Experiments read from a revision, a folder or the workspace: predictions, and annotations to evaluate them on."""

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
"""Maps a path in a project to a readable file; None if it does not exist."""


@dataclass(frozen=True, eq=False)
class ProtocolAnnotations:
    """Annotations that predictions of a protocol are evaluated on.

    Attributes:
        protocol: name in params.yaml.
        dataset, split, boxes: of the protocol.
        root: folder of the images.
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
    """Predictions of one output of an experiment.

    Attributes:
        name: as given by the user.
        commit: short hash of a revision; None for a folder and the workspace.
        output: the model output of `results`.
    """

    name: str
    commit: str | None
    output: str
    annotations: ProtocolAnnotations
    results: Results

    @cached_property
    def evaluation(self) -> Evaluation:
        """Matching, OKS and diagnosis, computed once."""
        return Evaluation(self.annotations.ground_truth, self.results, self.annotations.skeleton)


def read_experiments(names: list[str], protocol: str | None, output: str | None) -> list[Experiment]:
    """Read each of `names`; without names, the workspace.

    Args:
        protocol: None: the first of the first experiment.
        output: None: each experiment's `evaluate.output`, or "heatmap", or its first output, whichever exists.

    Raises:
        UserError: a duplicate or unknown experiment, an unknown protocol or output, files that are missing from DVC's
            cache, or experiments that are evaluated on different annotations.
    """
    experiments: list[Experiment] = []
    for name in names or [WORKSPACE]:
        with files_of(name) as (find, commit):
            experiment = _read(name, commit, find, protocol, output)
        protocol = experiment.annotations.protocol
        for other in experiments:
            if name == other.name or (commit and commit == other.commit):
                same = name if name == other.name else f"{other.name} and {name}, both {commit}"
                raise UserError("duplicate experiment", expected="different experiments", got=same)
        experiments.append(experiment)
    for other in experiments[1:]:
        _check_annotations(experiments[0], other)
    return experiments


def _read(name: str, commit: str | None, find: Find, protocol: str | None, output: str | None) -> Experiment:
    annotations, headline = _read_annotations(name, find, protocol)
    path = find(f"{_options(find, f'predict@{annotations.protocol}', name)['out']}/{PREDICTIONS_FILE}")
    if path is None:
        raise UserError(f"no predictions of {annotations.protocol}", where=name, do="run `dvc repro predict`")
    predictions, skeleton = read_predictions(path)
    if skeleton != annotations.skeleton:
        raise UserError("different skeleton", where=name, expected=annotations.skeleton.name, got=skeleton.name)
    outputs = results_by_output(predictions, skeleton)
    if not outputs:
        raise UserError("no predictions", where=f"{name}, {annotations.protocol}")
    candidates = [output] if output else [headline, "heatmap", *outputs]
    chosen = next((key for key in candidates if key in outputs), None)
    if chosen is None:
        raise UserError("unknown output", where=name, expected=f"one of {', '.join(outputs)}", got=repr(output))
    return Experiment(name, commit, chosen, annotations, outputs[chosen])


def _read_annotations(name: str, find: Find, protocol: str | None) -> tuple[ProtocolAnnotations, str]:
    """Annotations of a protocol, and the experiment's `evaluate.output`."""
    path = find("params.yaml")
    if path is None:
        raise UserError("no params.yaml", where=name, do="run dag-pose in the project's root")
    try:
        params: Any = YAML(typ="safe").load(path.read_text())
        protocols, headline = params["evaluate"]["protocols"], params["evaluate"]["output"]
        protocol = protocol or next(iter(protocols))
        if protocol not in protocols:
            known = f"one of {', '.join(protocols)}"
            raise UserError("unknown protocol", where=name, expected=known, got=repr(protocol))
        chosen = protocols[protocol]
        dataset, split = (str(chosen[key]) for key in ("dataset", "split"))
        root = params["datasets"][dataset]["root"]
    except (KeyError, TypeError, StopIteration, YAMLError) as error:
        raise UserError("params.yaml without protocols", where=name, got=repr(error)) from None
    options = _options(find, f"predict@{protocol}", name)
    table = find(options["annotations"])
    if table is None:
        raise UserError(f"no annotations of {dataset}", where=name, do="run `dvc repro convert`")
    persons, skeleton = read_split(table, split)
    if not persons:
        raise UserError("no evaluated persons: the split has no public annotations", where=f"{name}, {protocol}")
    images = find(options["images"])
    image_ids = [image.image_id for image in read_image_table(images, split)] if images else []
    gt = ground_truth_of(persons, skeleton, image_ids)
    return ProtocolAnnotations(protocol, dataset, split, options["boxes"], root, persons, gt, skeleton), headline


def results_folder(find: Find, protocol: str, name: str) -> str:
    """Folder of an experiment's metrics of a protocol."""
    return _options(find, f"evaluate@{protocol}", name)["results"]


def _options(find: Find, stage: str, name: str) -> dict[str, str]:
    """`dag.stage.stage_options` of an experiment, from its own dvc.yaml and params.yaml."""
    dvc_yaml, params_yaml = find("dvc.yaml"), find("params.yaml")
    if dvc_yaml is None or params_yaml is None:
        raise UserError("no dvc.yaml or params.yaml", where=name, do="run dag-pose in the project's root")
    return stage_options(stage, dvc_yaml, params_yaml)


@contextmanager
def files_of(name: str) -> Iterator[tuple[Find, str | None]]:
    """An experiment's `Find`, valid inside the `with` block, and its commit."""
    if name == WORKSPACE:
        yield _existing, None
    elif Path(name).is_dir():
        if not (Path(name) / PREDICTIONS_FILE).is_file():
            raise UserError("no predictions in this folder", where=name, expected=PREDICTIONS_FILE)
        predictions = Path(name) / PREDICTIONS_FILE
        yield lambda path: predictions if Path(path).name == PREDICTIONS_FILE else _existing(path), None
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
        experiments = [name for listed in repo.experiments.ls(all_commits=True).values() for name, _ in listed]
        return [*experiments, *repo.scm.list_branches(), *repo.scm.list_tags()]


def _check_annotations(first: Experiment, other: Experiment) -> None:
    ours, theirs = first.annotations, other.annotations
    if ours.skeleton != theirs.skeleton:
        raise UserError("different skeleton", where=other.name, expected=ours.skeleton.name, got=theirs.skeleton.name)
    differ = different_annotations(ours.ground_truth, theirs.ground_truth)
    if differ:
        raise UserError(
            f"evaluated on different annotations than {first.name}",
            where=f"{other.name}, {ours.protocol}",
            expected="the same persons",
            got=f"{differ} of {len(ours.ground_truth)} and {len(theirs.ground_truth)} that differ",
            do="evaluate both on the same annotations",
        )


def different_annotations(first: GroundTruth, second: GroundTruth) -> int:
    """Number of persons of only one ground truth, or whose annotations differ in fields that metrics depend on."""
    _, ours, theirs = np.intersect1d(first.person_id, second.person_id, return_indices=True)
    same: Bool[np.ndarray, " n"] = first.image_id[ours] == second.image_id[theirs]
    for name in ("keypoints_xy", "visibility", "area", "bbox_xywh", "is_crowd", "occluder", "crowd_index", "max_iou"):
        equal = np.isclose(getattr(first, name)[ours], getattr(second, name)[theirs], rtol=0, atol=0, equal_nan=True)
        same &= equal.reshape(len(ours), -1).all(1)
    return len(first) + len(second) - len(ours) - int(same.sum())
