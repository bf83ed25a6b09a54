"""Poses of other models: COCO results files matched to annotated persons."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from dag.annotation import PersonAnnotation, Visibility
from dag.errors import UserError
from dag.evaluation.coco.arrays import GroundTruth, ground_truth_of
from dag.evaluation.coco.files import read_results
from dag.files import sha256
from dag.skeleton import Skeleton

MIN_OKS = 0.5
"""Mean OKS of a person's visible joints at which a pose is matched to that person."""


@dataclass(frozen=True, eq=False)
class ModelPoses:
    """Poses of one results file, by person.

    Attributes:
        name: the file's name.
        sha256: of the file. It identifies models that are evaluated on labels they helped to propose.
        of_person: joints in image pixels, by person id.
    """

    name: str
    sha256: str
    of_person: dict[int, Float[np.ndarray, "J 2"]]


def read_model_poses(
    paths: Sequence[str], persons: Sequence[PersonAnnotation], image_ids: Sequence[int], skeleton: Skeleton
) -> list[ModelPoses]:
    """Read results files and match poses to persons, one to one.

    Args:
        image_ids: all images of the data set. Results may contain images without annotations.

    Raises:
        UserError: not a results file (`dag.evaluation.coco.files.read_results`), two files with one name, a file
            without a pose that matches a person, or a person id that occurs twice.
    """
    repeated = [person_id for person_id, count in Counter(p.person_id for p in persons).items() if count > 1]
    if paths and repeated:
        where, do = ", ".join(paths), "give every annotation its own id across all splits"
        raise UserError("ambiguous person ids", where=where, expected="unique person ids", got=repeated[0], do=do)
    gt = ground_truth_of(persons, skeleton, image_ids)
    models: list[ModelPoses] = []
    for path in paths:
        poses = _matched(Path(path), gt, skeleton)
        if any(poses.name == other.name for other in models):
            raise UserError("two results files with one name", where=path, do="rename one of them")
        if not poses.of_person:
            expected, do = f"an OKS of {MIN_OKS} or more", "check that the results belong to this data set"
            raise UserError("no pose matches an annotated person", where=path, expected=expected, do=do)
        models.append(poses)
    return models


def _matched(path: Path, gt: GroundTruth, skeleton: Skeleton) -> ModelPoses:
    """Greedy one-to-one matching: poses with the person's own id first, then by OKS, score and order in the file."""
    results = read_results(path, gt, skeleton)
    instances_of: dict[int, list[int]] = {}
    for instance in np.flatnonzero(gt.evaluated).tolist():
        instances_of.setdefault(int(gt.image_id[instance]), []).append(instance)
    pairs = []
    for pose, image_id in enumerate(results.image_id.tolist()):
        instances = instances_of.get(image_id, [])
        for instance, oks in zip(instances, _visible_oks(gt, instances, results.keypoints_xy[pose], skeleton)):
            if oks >= MIN_OKS:
                same_id = results.person_id[pose] == gt.person_id[instance]
                pairs.append((bool(same_id), float(oks), float(results.score[pose]), -pose, instance))
    of_person: dict[int, Float[np.ndarray, "J 2"]] = {}
    matched: set[int] = set()
    for *_, negative_pose, instance in sorted(pairs, reverse=True):
        person_id = int(gt.person_id[instance])
        if person_id not in of_person and -negative_pose not in matched:
            of_person[person_id] = results.keypoints_xy[-negative_pose]
            matched.add(-negative_pose)
    return ModelPoses(path.name, sha256(path), of_person)


def _visible_oks(
    gt: GroundTruth, instances: list[int], xy: Float[np.ndarray, "J 2"], skeleton: Skeleton
) -> Float[np.ndarray, " n"]:
    """Mean OKS of the visible joints of each instance; of all labelled joints where none is visible."""
    visible = gt.visibility[instances] == Visibility.VISIBLE
    labelled = np.where(visible.any(1, keepdims=True), visible, gt.visibility[instances] > 0)
    squares = ((gt.keypoints_xy[instances] - xy) ** 2).sum(-1)
    scale = 2 * np.maximum(gt.area[instances], 1e-9)[:, None] * (2 * skeleton.sigma_array) ** 2
    return np.where(labelled, np.exp(-squares / scale), 0).sum(1) / np.maximum(labelled.sum(1), 1)
