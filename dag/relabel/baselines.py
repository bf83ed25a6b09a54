"""Simple ways to guess a occluded joint from the visible ones: what relabelling has to beat."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from dag.annotation import PersonAnnotation
from dag.relabel.calibration import occluded_and_visible
from dag.skeleton import Skeleton

Guess = Callable[[PersonAnnotation, int], Float[np.ndarray, "2"]]
"""From a person with a visible joint and a joint's number to image pixels."""


def nearest_joint(learned: Sequence[PersonAnnotation], skeleton: Skeleton) -> Guess:
    """The visible joint that is nearest on average, and the mean way from it, in square roots of the area."""
    joints = len(skeleton)
    total, length, count = np.zeros((joints, joints, 2)), np.zeros((joints, joints)), np.zeros((joints, joints))
    for person in learned:
        if person.is_crowd or person.area <= 0:
            continue
        both = (person.visibility[:, None] > 0) & (person.visibility > 0)
        way = (person.keypoints_xy[None] - person.keypoints_xy[:, None]) / np.sqrt(person.area)
        total += way * both[..., None]
        length += np.linalg.norm(way, axis=-1) * both
        count += both
    ways = total / np.maximum(count, 1)[..., None]
    lengths = np.where(count > 0, length / np.maximum(count, 1), np.inf)

    def guess(person: PersonAnnotation, joint: int) -> Float[np.ndarray, "2"]:
        seen = np.flatnonzero(occluded_and_visible(person)[1])
        start = seen[lengths[seen, joint].argmin()]
        return person.keypoints_xy[start] + ways[start, joint] * np.sqrt(person.area)

    return guess


def mean_pose(learned: Sequence[PersonAnnotation], skeleton: Skeleton) -> Guess:
    """The mean pose, scaled and shifted to the visible joints (least squares); one joint alone: by the area."""
    total, count = np.zeros((len(skeleton), 2)), np.zeros((len(skeleton), 1))
    for person in learned:
        if person.is_crowd or person.area <= 0:
            continue
        labelled = (person.visibility > 0)[:, None]
        middle = person.bbox_xywh[:2] + person.bbox_xywh[2:] / 2
        total += (person.keypoints_xy - middle) / np.sqrt(person.area) * labelled
        count += labelled
    mean = total / np.maximum(count, 1)

    def guess(person: PersonAnnotation, joint: int) -> Float[np.ndarray, "2"]:
        seen = occluded_and_visible(person)[1]
        own, usual = person.keypoints_xy[seen], mean[seen]
        own_centre, centre = own.mean(0), usual.mean(0)
        length = ((usual - centre) ** 2).sum()
        scale = ((own - own_centre) * (usual - centre)).sum() / length if length > 0 else np.sqrt(person.area)
        return own_centre + scale * (mean[joint] - centre)

    return guess


BASELINES = {"nearest_joint": nearest_joint, "mean_pose": mean_pose}
