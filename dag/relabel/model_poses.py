"""Poses of other models, from COCO results files, matched to the people whose joints they may tell."""

import hashlib
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
from dag.skeleton import Skeleton

LEAST_SIMILARITY = 0.5
"""Mean OKS of a person's visible joints at which a pose is taken to be that person's."""


@dataclass(frozen=True, eq=False)
class Poses:
    """What one results file says of the people that it knows.

    Attributes:
        name: the file's.
        sha256: of its bytes, so that who was judged on these labels can be told.
        of_person: joints in image pixels, by person id.
    """

    name: str
    sha256: str
    of_person: dict[int, Float[np.ndarray, "J 2"]]


def read_poses(
    paths: Sequence[str], persons: Sequence[PersonAnnotation], image_ids: Sequence[int], skeleton: Skeleton
) -> list[Poses]:
    """Read results files and match each pose to at most one person, and each person to at most one pose.

    Args:
        image_ids: every image of the data set, also those without people: a file may know them.

    Raises:
        UserError: not a results file (`dag.evaluation.coco.files.read_results`), two files of one name, one without a pose
            that fits anybody, or rows in which two people have one id.
    """
    twice = [number for number, count in Counter(person.person_id for person in persons).items() if count > 1]
    if paths and twice:
        where, do = ", ".join(paths), "number the annotations of all splits through"
        raise UserError("results tell not whose", where=where, expected="ids of their own", got=twice[0], do=do)
    gt = ground_truth_of(persons, skeleton, image_ids)
    found = []
    for path in paths:
        poses = _matched(Path(path), gt, skeleton)
        if any(poses.name == other.name for other in found):
            raise UserError("two results files of one name", where=path, do="rename one")
        if not poses.of_person:
            expected = f"joints near labelled ones, an OKS of {LEAST_SIMILARITY}"
            raise UserError("poses of nobody here", where=path, expected=expected, do="see whether it is another set's")
        found.append(poses)
    return found


def _matched(path: Path, gt: GroundTruth, skeleton: Skeleton) -> Poses:
    results = read_results(path, gt, skeleton)
    people: dict[int, list[int]] = {}
    for number in np.flatnonzero(gt.evaluated).tolist():
        people.setdefault(int(gt.image_id[number]), []).append(number)
    pairs = []
    for pose, image in enumerate(results.image_id.tolist()):
        here = people.get(image, [])
        for number, similarity in zip(here, _similarity(gt, here, results.keypoints_xy[pose], skeleton)):
            if similarity >= LEAST_SIMILARITY:
                own = results.person_id[pose] == gt.person_id[number]
                pairs.append((bool(own), float(similarity), float(results.score[pose]), -pose, number))
    of_person: dict[int, Float[np.ndarray, "J 2"]] = {}
    taken: set[int] = set()
    for *_, pose, number in sorted(pairs, reverse=True):
        person = int(gt.person_id[number])
        if person not in of_person and -pose not in taken:
            of_person[person] = results.keypoints_xy[-pose]
            taken.add(-pose)
    return Poses(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), of_person)


def _similarity(
    gt: GroundTruth, numbers: list[int], xy: Float[np.ndarray, "J 2"], skeleton: Skeleton
) -> Float[np.ndarray, " n"]:
    """Mean OKS of the visible joints of some people; of all labelled ones where none is visible."""
    visible = gt.visibility[numbers] == Visibility.VISIBLE
    labelled = np.where(visible.any(1, keepdims=True), visible, gt.visibility[numbers] > 0)
    squares = ((gt.keypoints_xy[numbers] - xy) ** 2).sum(-1)
    scale = 2 * np.maximum(gt.area[numbers], 1e-9)[:, None] * (2 * skeleton.sigma_array) ** 2
    return np.where(labelled, np.exp(-squares / scale), 0).sum(1) / np.maximum(labelled.sum(1), 1)
