"""Instances in a crop, and how their labels change when they are covered."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int8

from dag.annotation import Occluder, Source, Visibility


@dataclass(frozen=True, eq=False)
class Instances:
    """P person instances in a crop; instance 0 is the target.

    Attributes:
        keypoints_xy: pixels of the crop, pixel-index frame; 0, 0 where unlabelled.
        visibility, visibility_source, occluder: `Visibility`, `Source`, `Occluder` numbers.
    """

    keypoints_xy: Float[np.ndarray, "P J 2"]
    visibility: Int8[np.ndarray, "P J"]
    visibility_source: Int8[np.ndarray, "P J"]
    occluder: Int8[np.ndarray, "P J"]


def covered_joints(instances: Instances) -> Bool[np.ndarray, " J"]:
    """Labelled joints of the target that are behind an object or another person, in the image or by augmentation."""
    by_something = (instances.occluder[0] == Occluder.OBJECT) | (instances.occluder[0] == Occluder.PERSON)
    return by_something & (instances.visibility[0] > 0)


def mark_covered(instances: Instances, covered: Bool[np.ndarray, "P J"], occluder: Occluder) -> Instances:
    """Record `occluder` for covered labelled joints; visible ones become occluded."""
    covered = covered & (instances.visibility > 0)
    if not covered.any():
        return instances
    visible = covered & (instances.visibility == Visibility.VISIBLE)
    return Instances(
        instances.keypoints_xy,
        np.where(visible, np.int8(Visibility.OCCLUDED), instances.visibility),
        np.where(visible, np.int8(Source.PASTED), instances.visibility_source),
        np.where(covered, np.int8(occluder), instances.occluder),
    )


def cover_by_instance(instances: Instances, covered: Bool[np.ndarray, "P J"]) -> Instances:
    """Labels under a pasted instance: the target's joints are occluded, joints of others become unlabelled."""
    others, target = covered.copy(), np.zeros_like(covered)
    others[0], target[0] = False, covered[0]
    instances = mark_covered(instances, target, Occluder.PERSON)
    return Instances(
        np.where(others[..., None], 0.0, instances.keypoints_xy),
        np.where(others, np.int8(Visibility.UNLABELLED), instances.visibility),
        np.where(others, np.int8(Source.NONE), instances.visibility_source),
        np.where(others, np.int8(Occluder.UNKNOWN), instances.occluder),
    )


def append(instances: Instances, other: Instances) -> Instances:
    """`instances`, then `other`."""
    names = ("keypoints_xy", "visibility", "visibility_source", "occluder")
    return Instances(*(np.concatenate([getattr(instances, name), getattr(other, name)]) for name in names))


def joints_diagonal(instances: Instances) -> float:
    """Diagonal, in pixels, of the box around the target's labelled joints; 0 without labelled joints."""
    xy = instances.keypoints_xy[0][instances.visibility[0] > 0]
    return float(np.hypot(*np.ptp(xy, axis=0))) if len(xy) else 0.0
