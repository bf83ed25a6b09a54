"""Baselines that relabelling is compared with: locations of occluded joints from the visible joints."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from dag.annotation import PersonAnnotation
from dag.relabel.evaluated_proposals import occluded_and_visible
from dag.skeleton import Skeleton

Predictor = Callable[[PersonAnnotation, int], Float[np.ndarray, "2"]]
"""From a person with a visible joint and a joint's index to a location in image pixels."""


def nearest_joint(fitted_on: Sequence[PersonAnnotation], skeleton: Skeleton) -> Predictor:
    """Predictor that adds a mean offset to the visible joint with the smallest mean distance.

    Means are taken over `fitted_on`, in units of the square root of the person's area.
    """
    joints = len(skeleton)
    total, length, count = np.zeros((joints, joints, 2)), np.zeros((joints, joints)), np.zeros((joints, joints))
    for person in _usable(fitted_on):
        both = (person.visibility[:, None] > 0) & (person.visibility > 0)
        offset = (person.keypoints_xy[None] - person.keypoints_xy[:, None]) / np.sqrt(person.area)
        total += offset * both[..., None]
        length += np.linalg.norm(offset, axis=-1) * both
        count += both
    offsets = total / np.maximum(count, 1)[..., None]
    lengths = np.where(count > 0, length / np.maximum(count, 1), np.inf)

    def predict(person: PersonAnnotation, joint: int) -> Float[np.ndarray, "2"]:
        visible = np.flatnonzero(occluded_and_visible(person)[1])
        start = visible[lengths[visible, joint].argmin()]
        return person.keypoints_xy[start] + offsets[start, joint] * np.sqrt(person.area)

    return predict


def mean_pose(fitted_on: Sequence[PersonAnnotation], skeleton: Skeleton) -> Predictor:
    """Predictor that aligns the mean pose of `fitted_on` to the visible joints by scale and shift (least squares).

    With one visible joint the scale is the square root of the person's area.
    """
    total, count = np.zeros((len(skeleton), 2)), np.zeros((len(skeleton), 1))
    for person in _usable(fitted_on):
        labelled = (person.visibility > 0)[:, None]
        middle = person.bbox_xywh[:2] + person.bbox_xywh[2:] / 2
        total += (person.keypoints_xy - middle) / np.sqrt(person.area) * labelled
        count += labelled
    mean = total / np.maximum(count, 1)

    def predict(person: PersonAnnotation, joint: int) -> Float[np.ndarray, "2"]:
        visible = occluded_and_visible(person)[1]
        xy, mean_xy = person.keypoints_xy[visible], mean[visible]
        centre, mean_centre = xy.mean(0), mean_xy.mean(0)
        length = ((mean_xy - mean_centre) ** 2).sum()
        scale = ((xy - centre) * (mean_xy - mean_centre)).sum() / length if length > 0 else np.sqrt(person.area)
        return centre + scale * (mean[joint] - mean_centre)

    return predict


def _usable(persons: Sequence[PersonAnnotation]) -> list[PersonAnnotation]:
    return [person for person in persons if person.is_evaluated and person.area > 0]


BASELINES = {"nearest_joint": nearest_joint, "mean_pose": mean_pose}
