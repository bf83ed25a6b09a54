"""Strata of joints and persons by occlusion and crowding, and the accuracy of joints in each.

A stratum is a name and a mask. Empty strata are left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from dag.annotation import Occluder, Source, Visibility
from dag.errors import UserError
from dag.evaluation.coco.arrays import GroundTruth, Results
from dag.evaluation.coco.oks import joint_similarity
from dag.skeleton import TORSO, Skeleton

PCK_FRACTION = 0.1
"""A joint is correct within this fraction of the longer side of the person's box."""
TORSO_FRACTION = 0.2
"""A joint is correct within this fraction of the torso's length, for `pck_torso`."""

Metrics = dict[str, float | int | None]


def occluded_joints(visibility: Int8[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]:
    """Labelled joints that are occluded: visibility 1 (annotated) or 3 (relabelled)."""
    return (visibility == Visibility.OCCLUDED) | (visibility == Visibility.RELABELLED)


def occlusion_ratio(visibility: Int8[np.ndarray, "*shape J"]) -> Float[np.ndarray, "*shape"]:
    """Fraction of a person's labelled joints that are occluded; 0 without labelled joints."""
    return np.asarray(occluded_joints(visibility).sum(-1) / np.maximum(1, (visibility > 0).sum(-1)))


def crowd_bands(crowd_index: Float[np.ndarray, " P"]) -> dict[str, Bool[np.ndarray, " P"]]:
    """CrowdPose's bands of the image's crowdIndex, each without its upper bound; NaN is in no band."""
    bounds = {"crowd_easy": (-np.inf, 0.2), "crowd_medium": (0.2, 0.8), "crowd_hard": (0.8, np.inf)}
    return {name: (low <= crowd_index) & (crowd_index < high) for name, (low, high) in bounds.items()}


def person_strata(gt: GroundTruth) -> dict[str, Bool[np.ndarray, " P"]]:
    """Strata of evaluated persons with a labelled joint.

    Returns:
        `occluded_none`, `occluded_third`, `occluded_two_thirds`, `occluded_most`: by the occlusion ratio r, r = 0,
        0 < r <= 1/3, 1/3 < r <= 2/3, r > 2/3. `most_occluded`: see `most_occluded`. `crowd_*`: see `crowd_bands`.
        `max_iou_moderate`, `max_iou_hard`: OCHuman's .5 <= MaxIoU < .75 and MaxIoU >= .75.
    """
    ratio = occlusion_ratio(gt.visibility)
    strata = {
        "occluded_none": ratio == 0,
        "occluded_third": (ratio > 0) & (ratio <= 1 / 3),
        "occluded_two_thirds": (ratio > 1 / 3) & (ratio <= 2 / 3),
        "occluded_most": ratio > 2 / 3,
        "most_occluded": most_occluded(gt),
        **crowd_bands(gt.crowd_index),
        "max_iou_moderate": (gt.max_iou >= 0.5) & (gt.max_iou < 0.75),
        "max_iou_hard": gt.max_iou >= 0.75,
    }
    evaluated = gt.evaluated & (gt.visibility > 0).any(1)
    return {name: mask & evaluated for name, mask in strata.items() if (mask & evaluated).any()}


def most_occluded(gt: GroundTruth) -> Bool[np.ndarray, " P"]:
    """The third (rounded up) of the evaluated persons with the highest occlusion ratios.

    Persons without occluded joints are left out, even if that makes fewer; ties are resolved by the lower `person_id`.
    """
    persons, ratio = np.flatnonzero(gt.evaluated), occlusion_ratio(gt.visibility)
    ranked = persons[np.lexsort((gt.person_id[persons], -ratio[persons]))]
    mask = np.zeros(len(gt), dtype=bool)
    mask[ranked[: -(-len(persons) // 3)]] = True
    return mask & (ratio > 0)


def joint_masks(gt: GroundTruth, skeleton: Skeleton) -> dict[str, Bool[np.ndarray, "P J"]]:
    """Strata of the labelled joints of evaluated persons.

    Returns:
        `all`; `visible`, `occluded` (1 and 3), `relabelled` (3 alone); of the latter `proposed`, located by a model's
        results, and `reviewed`, decided by a reviewer; `occluded_by_<occluder>` where the occluder is known;
        `crowd_*` of `crowd_bands`; `joint_<name>` of every joint of the skeleton.
    """
    labelled = (gt.visibility > 0) & gt.evaluated[:, None]
    occluded = occluded_joints(gt.visibility)
    strata = {
        "all": labelled,
        "visible": gt.visibility == Visibility.VISIBLE,
        "occluded": occluded,
        "relabelled": gt.visibility == Visibility.RELABELLED,
        "proposed": gt.source == Source.PROPOSED,
        "reviewed": gt.source == Source.REVIEWED,
    }
    strata |= {f"occluded_by_{code.name.lower()}": occluded & (gt.occluder == code) for code in Occluder if code}
    strata |= {name: persons[:, None] for name, persons in crowd_bands(gt.crowd_index).items()}
    strata |= {f"joint_{name}": np.arange(len(skeleton)) == j for j, name in enumerate(skeleton.joints)}
    return {name: mask & labelled for name, mask in strata.items() if (mask & labelled).any()}


@dataclass(frozen=True, eq=False)
class JointAccuracy:
    """Accuracy of the joints of n results that are assigned to a person, against that person's ground truth.

    Attributes:
        person: index of the person.
        similarity: keypoint similarity, 0 to 1.
        correct: within `PCK_FRACTION` of the longer side of the person's box.
        error: distance in units of sqrt(person area).
    """

    person: Int[np.ndarray, " n"]
    similarity: Float[np.ndarray, "n J"]
    correct: Bool[np.ndarray, "n J"]
    error: Float[np.ndarray, "n J"]


def joint_accuracy(
    gt: GroundTruth, results: Results, person_of: Int[np.ndarray, " D"], skeleton: Skeleton
) -> JointAccuracy:
    """Accuracy of every joint of the assigned results, whether the ground truth labels it or not.

    Args:
        person_of: index of the person that each result is assigned to; -1 for none.
    """
    assigned = person_of >= 0
    person, predicted_xy = person_of[assigned], results.keypoints_xy[assigned]
    gt_xy, area = gt.keypoints_xy[person], gt.area[person]
    distance = np.linalg.norm(predicted_xy - gt_xy, axis=-1)
    return JointAccuracy(
        person,
        similarity=joint_similarity(predicted_xy, gt_xy, area, skeleton.sigma_array),
        correct=distance <= PCK_FRACTION * gt.bbox_xywh[person, 2:].max(-1, initial=0)[:, None],
        error=distance / np.sqrt(area + np.spacing(1))[:, None],  # area 0 as in OKS
    )


def joint_strata(accuracy: JointAccuracy, masks: Mapping[str, Bool[np.ndarray, "P J"]]) -> dict[str, Metrics]:
    """Accuracy of the joints in each stratum, of persons with a result.

    Args:
        masks: `joint_masks`.

    Returns:
        By stratum: number of `joints`, mean `OKS` of a joint, `PCK` at `PCK_FRACTION`, mean `error` in units of
        sqrt(person area).
    """
    predicted = {name: mask[accuracy.person] for name, mask in masks.items()}
    return {
        name: {
            "joints": int(mask.sum()),
            "OKS": float(accuracy.similarity[mask].mean()),
            "PCK": float(accuracy.correct[mask].mean()),
            "error": float(accuracy.error[mask].mean()),
        }
        for name, mask in predicted.items()
        if mask.any()
    }


def pck_torso(
    gt: GroundTruth, results: Results, person_of: Int[np.ndarray, " D"], skeleton: Skeleton
) -> dict[str, Metrics]:
    """PCK@0.2 of Leeds Sports Pose: joints no farther off than a fifth of the way from left shoulder to right hip.

    Sapp & Taskar, MODEC, CVPR 2013; the torso's ends as in github.com/bearpaw/eval_pose. The joints of a person
    without a result are incorrect.

    Returns:
        `all`: number of `instances`, and of instances `left_out` because their torso is unlabelled or has no length;
        number of `joints`; `PCK`, the mean over joints (None without joints). `joint_<name>`: `joints`, `PCK`.

    Raises:
        UserError: the skeleton has no left shoulder or no right hip.
    """
    if not set(TORSO) <= set(skeleton.joints):
        raise UserError(
            "skeleton without a torso", where=skeleton.name, expected=", ".join(TORSO), got=", ".join(skeleton.joints)
        )
    shoulder, hip = (skeleton.joints.index(name) for name in TORSO)
    torso = np.linalg.norm(gt.keypoints_xy[:, shoulder] - gt.keypoints_xy[:, hip], axis=-1)
    known = gt.evaluated & (gt.visibility[:, [shoulder, hip]] > 0).all(1) & (torso > 0)
    predicted_xy = np.full(gt.keypoints_xy.shape, np.inf)
    predicted_xy[person_of[person_of >= 0]] = results.keypoints_xy[person_of >= 0]
    correct = np.linalg.norm(predicted_xy - gt.keypoints_xy, axis=-1) <= TORSO_FRACTION * torso[:, None]
    counted = (gt.visibility > 0) & known[:, None]
    count = counted.sum(0)
    pck = (correct & counted).sum(0) / np.maximum(1, count)
    overall: Metrics = {
        "instances": int(known.sum()),
        "left_out": int((gt.evaluated & ~known).sum()),
        "joints": int(count.sum()),
        "PCK": float(pck[count > 0].mean()) if count.any() else None,
    }
    by_joint: dict[str, Metrics] = {
        f"joint_{name}": {"joints": int(count[j]), "PCK": float(pck[j])}
        for j, name in enumerate(skeleton.joints)
        if count[j]
    }
    return {"all": overall, **by_joint}
