"""What is wrong with each joint: jitter, inversion, swap or miss.

Ronchi & Perona, Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation, ICCV 2017. We differ from their
coco-analyze in three things. A joint that is close to its own place (similarity of at least .5) is never an inversion
or swap; theirs is, if it is still closer to another joint. Where own mirrored joint and another person's joint are
equally close, we say inversion. `corrected` puts a joint where the ground truth has it; theirs leaves it somewhat off.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from dag.evaluation.coco.arrays import GroundTruth, Results
from dag.evaluation.coco.oks import joint_similarity
from dag.evaluation.strata import Metrics, joint_masks
from dag.skeleton import Skeleton

GOOD = 0.85
"""Similarity from which a joint is good."""
CLOSE = 0.5
"""Similarity from which a joint is about a place."""


class ErrorKind(IntEnum):
    """What a found joint is; -1 stands for one that is not asked."""

    GOOD = 0
    JITTER = 1
    INVERSION = 2
    SWAP = 3
    MISS = 4


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Of every result.

    Attributes:
        person: index into the ground truth of the person that it is about; -1 for none who should be found.
        kind: `ErrorKind` numbers; -1 where the joint is not labelled or the result is about nobody.
        similarity: to the joint's true place, 0 to 1; NaN where `kind` is -1.
        swapped_with: index into the ground truth of the person whose joint was found instead; -1 where `kind` is not SWAP.
    """

    person: Int[np.ndarray, " D"]
    kind: Int8[np.ndarray, "D J"]
    similarity: Float[np.ndarray, "D J"]
    swapped_with: Int[np.ndarray, "D J"]


def diagnose(gt: GroundTruth, results: Results, person_of: Int[np.ndarray, " D"], skeleton: Skeleton) -> Diagnosis:
    """The kind of error of every labelled joint of every person who should be found and is.

    With the similarity `joint_similarity` of the found joint to a place, in the scale of the person whose place it is:
    GOOD from .85 to its own place, JITTER from .5, and of the others INVERSION from .5 to the person's own joint of the
    other side, SWAP from .5 to a labelled joint of the same name or the other side of another person (no crowd region);
    whichever is more similar, inversion where both are. MISS: none of these.

    Args:
        person_of: index into the ground truth of the person that each result is about; -1 for none. Nobody twice.
    """
    person = person_of.copy()
    person[person_of >= 0] = np.where(gt.wanted[person_of[person_of >= 0]], person_of[person_of >= 0], -1)
    asked = np.flatnonzero(person >= 0)
    mine, found_xy = person[asked], results.keypoints_xy[asked]
    labelled = gt.visibility[mine] > 0
    own, mirrored = _similarities(gt, mine, found_xy, skeleton)
    other, whose = _closest_other(gt, mine, found_xy, labelled & (own < CLOSE), skeleton)
    kind = np.select(
        [own >= GOOD, own >= CLOSE, (mirrored >= CLOSE) & (mirrored >= other), other >= CLOSE],
        [ErrorKind.GOOD, ErrorKind.JITTER, ErrorKind.INVERSION, ErrorKind.SWAP],
        ErrorKind.MISS,
    )
    shape = (len(results), len(skeleton))
    diagnosis = Diagnosis(person, np.full(shape, -1, dtype=np.int8), np.full(shape, np.nan), np.full(shape, -1))
    diagnosis.kind[asked] = np.where(labelled, kind, -1)
    diagnosis.similarity[asked] = np.where(labelled, own, np.nan)
    diagnosis.swapped_with[asked] = np.where(labelled & (kind == ErrorKind.SWAP), whose, -1)
    return diagnosis


def _similarities(
    gt: GroundTruth, person: Int[np.ndarray, " n"], found_xy: Float[np.ndarray, "n J 2"], skeleton: Skeleton
) -> tuple[Float[np.ndarray, "n J"], Float[np.ndarray, "n J"]]:
    """Of found joints to a person's same joints, and to those of the other side; -1 where those are not labelled."""
    mirror, area, sigmas = skeleton.flip_index, gt.area[person], skeleton.sigma_array
    gt_xy, labelled = gt.keypoints_xy[person], gt.visibility[person] > 0
    same = joint_similarity(found_xy, gt_xy, area, sigmas)
    other_side = joint_similarity(found_xy, gt_xy[:, mirror], area, sigmas)
    return np.where(labelled, same, -1.0), np.where(labelled[:, mirror], other_side, -1.0)


def _closest_other(
    gt: GroundTruth,
    mine: Int[np.ndarray, " n"],
    found_xy: Float[np.ndarray, "n J 2"],
    lost: Bool[np.ndarray, "n J"],
    skeleton: Skeleton,
) -> tuple[Float[np.ndarray, "n J"], Int[np.ndarray, "n J"]]:
    """The most similar joint, same or other side, of anybody else in the image: how similar, and whose.

    Only rows with a joint that `lost` names are looked at; -1 elsewhere. Of equals, the person who comes first.
    """
    best, whose = np.full(lost.shape, -1.0), np.full(lost.shape, -1)
    rows = np.flatnonzero(lost.any(1))
    if not len(rows):
        return best, whose
    by_image = np.argsort(gt.image_id, kind="stable")
    image = gt.image_id[by_image]
    start = np.searchsorted(image, gt.image_id[mine[rows]], "left")
    count = np.searchsorted(image, gt.image_id[mine[rows]], "right") - start
    first = np.cumsum(count) - count
    row = np.repeat(np.arange(len(rows)), count)
    who = by_image[np.arange(len(row)) + np.repeat(start - first, count)]
    similarity = np.maximum(*_similarities(gt, who, found_xy[rows[row]], skeleton))
    similarity[(who == mine[rows[row]]) | gt.is_crowd[who]] = -1.0  # oneself is among them: no group is empty
    best[rows] = np.maximum.reduceat(similarity, first)
    candidate = np.where(similarity == best[rows[row]], who[:, None], len(gt))
    whose[rows] = np.minimum.reduceat(candidate, first)
    return best, whose


def corrected(gt: GroundTruth, results: Results, diagnosis: Diagnosis, kind: ErrorKind) -> Results:
    """The results with all joints of one kind put where the ground truth has them; scores stay."""
    result, joint = np.nonzero(diagnosis.kind == kind)
    keypoints_xy = results.keypoints_xy.copy()
    keypoints_xy[result, joint] = gt.keypoints_xy[diagnosis.person[result], joint]
    return replace(results, keypoints_xy=keypoints_xy)


def diagnosis_metrics(gt: GroundTruth, diagnosis: Diagnosis, skeleton: Skeleton) -> dict[str, Metrics]:
    """The kinds of error in each stratum of `joint_masks`; "all" is always there.

    Returns:
        By stratum: number of `joints` that have a kind, and of those `not_found`, whose person no result is about; for
        each kind its share of `joints` (`swap`; None where there are none) and its number (`swap_joints`).
    """
    kind = np.full(gt.visibility.shape, -1, dtype=np.int8)
    about = diagnosis.person >= 0
    kind[diagnosis.person[about]] = diagnosis.kind[about]
    masks = {"all": np.zeros(kind.shape, dtype=bool), **joint_masks(gt, skeleton)}
    return {name: _metrics(kind[mask]) for name, mask in masks.items()}


def _metrics(kind: Int8[np.ndarray, " n"]) -> Metrics:
    counts = {code.name.lower(): int((kind == code).sum()) for code in ErrorKind}
    joints = sum(counts.values())
    metrics: Metrics = {"joints": joints, "not_found": len(kind) - joints}
    metrics |= {name: count / joints if joints else None for name, count in counts.items()}
    return metrics | {f"{name}_joints": count for name, count in counts.items()}
