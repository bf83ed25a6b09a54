"""Error diagnosis of joints: jitter, inversion, swap or miss.

Ronchi & Perona, Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation, ICCV 2017. We differ from their
coco-analyze in three points. A joint close to its own ground truth (similarity of at least .5) is never an inversion
or swap; theirs is, if it is closer to another joint. Ties between the own mirrored joint and another person's joint are
inversions. `corrected` moves a joint exactly to the ground truth; theirs leaves a remaining error.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from dag.evaluation.coco.arrays import GroundTruth, Results
from dag.evaluation.coco.oks import joint_similarity
from dag.evaluation.strata import Metrics
from dag.skeleton import Skeleton

GOOD = 0.85
"""Similarity from which a joint is good."""
CLOSE = 0.5
"""Similarity from which a joint is close to a ground-truth joint."""


class ErrorKind(IntEnum):
    """Kind of error of a predicted joint; -1 stands for joints that are not evaluated."""

    GOOD = 0
    JITTER = 1
    INVERSION = 2
    SWAP = 3
    MISS = 4


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Diagnosis of every result.

    Attributes:
        person: index of the evaluated person that it is assigned to; -1 for none.
        kind: `ErrorKind` numbers; -1 where the joint is unlabelled or the result is not assigned.
        similarity: keypoint similarity to the ground truth, 0 to 1; NaN where `kind` is -1.
        swapped_with: index of the person whose joint was predicted instead; -1 where `kind` is not SWAP.
    """

    person: Int[np.ndarray, " D"]
    kind: Int8[np.ndarray, "D J"]
    similarity: Float[np.ndarray, "D J"]
    swapped_with: Int[np.ndarray, "D J"]


def diagnose(gt: GroundTruth, results: Results, person_of: Int[np.ndarray, " D"], skeleton: Skeleton) -> Diagnosis:
    """Diagnose every labelled joint of every evaluated person with a result.

    Similarities are `joint_similarity` at the scale of the person that the ground-truth joint belongs to. The first
    kind that applies:

    - GOOD: at least .85 to the same joint of the assigned person; JITTER: at least .5.
    - INVERSION: at least .5 to the assigned person's joint of the other side, and no less than to another person's.
    - SWAP: at least .5 to a labelled joint, same or other side, of another person in the image (no crowd region).
    - MISS: none of these.

    Args:
        person_of: index of the person that each result is assigned to; -1 for none. At most one result per person.
    """
    person = person_of.copy()
    person[person_of >= 0] = np.where(gt.evaluated[person_of[person_of >= 0]], person_of[person_of >= 0], -1)
    assigned = np.flatnonzero(person >= 0)
    target, predicted_xy = person[assigned], results.keypoints_xy[assigned]
    labelled = gt.visibility[target] > 0
    own, mirrored = _similarities(gt, target, predicted_xy, skeleton)
    other, owner = _closest_other(gt, target, predicted_xy, labelled & (own < CLOSE), skeleton)
    kind = np.select(
        [own >= GOOD, own >= CLOSE, (mirrored >= CLOSE) & (mirrored >= other), other >= CLOSE],
        [ErrorKind.GOOD, ErrorKind.JITTER, ErrorKind.INVERSION, ErrorKind.SWAP],
        ErrorKind.MISS,
    )
    shape = (len(results), len(skeleton))
    diagnosis = Diagnosis(person, np.full(shape, -1, dtype=np.int8), np.full(shape, np.nan), np.full(shape, -1))
    diagnosis.kind[assigned] = np.where(labelled, kind, -1)
    diagnosis.similarity[assigned] = np.where(labelled, own, np.nan)
    diagnosis.swapped_with[assigned] = np.where(labelled & (kind == ErrorKind.SWAP), owner, -1)
    return diagnosis


def _similarities(
    gt: GroundTruth, person: Int[np.ndarray, " n"], predicted_xy: Float[np.ndarray, "n J 2"], skeleton: Skeleton
) -> tuple[Float[np.ndarray, "n J"], Float[np.ndarray, "n J"]]:
    """Similarity of predicted joints to the same joints and to those of the other side; -1 where unlabelled."""
    mirror, area, sigmas = skeleton.flip_index, gt.area[person], skeleton.sigma_array
    gt_xy, labelled = gt.keypoints_xy[person], gt.visibility[person] > 0
    same = joint_similarity(predicted_xy, gt_xy, area, sigmas)
    other_side = joint_similarity(predicted_xy, gt_xy[:, mirror], area, sigmas)
    return np.where(labelled, same, -1.0), np.where(labelled[:, mirror], other_side, -1.0)


def _closest_other(
    gt: GroundTruth,
    target: Int[np.ndarray, " n"],
    predicted_xy: Float[np.ndarray, "n J 2"],
    distant: Bool[np.ndarray, "n J"],
    skeleton: Skeleton,
) -> tuple[Float[np.ndarray, "n J"], Int[np.ndarray, "n J"]]:
    """Similarity to the most similar joint, same or other side, of another person in the image, and that person.

    Computed for results with a joint in `distant`; -1 elsewhere. Ties are resolved by the lowest index.
    """
    best, owner = np.full(distant.shape, -1.0), np.full(distant.shape, -1)
    rows = np.flatnonzero(distant.any(1))
    if not len(rows):
        return best, owner
    by_image = np.argsort(gt.image_id, kind="stable")
    image = gt.image_id[by_image]
    start = np.searchsorted(image, gt.image_id[target[rows]], "left")
    count = np.searchsorted(image, gt.image_id[target[rows]], "right") - start
    first = np.cumsum(count) - count
    row = np.repeat(np.arange(len(rows)), count)
    candidate_person = by_image[np.arange(len(row)) + np.repeat(start - first, count)]
    similarity = np.maximum(*_similarities(gt, candidate_person, predicted_xy[rows[row]], skeleton))
    # The assigned person stays among the candidates, so that no group of `reduceat` is empty.
    similarity[(candidate_person == target[rows[row]]) | gt.is_crowd[candidate_person]] = -1.0
    best[rows] = np.maximum.reduceat(similarity, first)
    candidate = np.where(similarity == best[rows[row]], candidate_person[:, None], len(gt))
    owner[rows] = np.minimum.reduceat(candidate, first)
    return best, owner


def corrected(gt: GroundTruth, results: Results, diagnosis: Diagnosis, kind: ErrorKind) -> Results:
    """The results with all errors of one kind replaced by the ground truth; scores are unchanged."""
    result, joint = np.nonzero(diagnosis.kind == kind)
    keypoints_xy = results.keypoints_xy.copy()
    keypoints_xy[result, joint] = gt.keypoints_xy[diagnosis.person[result], joint]
    return replace(results, keypoints_xy=keypoints_xy)


def diagnosis_metrics(
    gt: GroundTruth, diagnosis: Diagnosis, masks: Mapping[str, Bool[np.ndarray, "P J"]]
) -> dict[str, Metrics]:
    """Number and ratio of each kind of error in each stratum; the stratum "all" is always included.

    Args:
        masks: `dag.evaluation.strata.joint_masks`.

    Returns:
        By stratum: number of diagnosed `joints`, and of joints `not_predicted`, whose person has no result; of each
        kind its ratio to `joints` (`swap`; None without joints) and its number (`swap_joints`).
    """
    kind = np.full(gt.visibility.shape, -1, dtype=np.int8)
    assigned = diagnosis.person >= 0
    kind[diagnosis.person[assigned]] = diagnosis.kind[assigned]
    return {name: _metrics(kind[mask]) for name, mask in {"all": np.zeros(kind.shape, dtype=bool), **masks}.items()}


def _metrics(kind: Int8[np.ndarray, " n"]) -> Metrics:
    counts = {code.name.lower(): int((kind == code).sum()) for code in ErrorKind}
    joints = sum(counts.values())
    metrics: Metrics = {"joints": joints, "not_predicted": len(kind) - joints}
    metrics |= {name: count / joints if joints else None for name, count in counts.items()}
    return metrics | {f"{name}_joints": count for name, count in counts.items()}
