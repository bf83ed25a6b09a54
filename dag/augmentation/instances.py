"""Everyone in a crop, and what happens to their labels when something covers them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int8

from dag.annotation import Occluder, Source, Visibility


@dataclass(frozen=True, eq=False)
class Instances:
    """Everyone in a crop; person 0 is the target.

    Attributes:
        keypoints_xy: pixels of the crop, pixel-index frame; 0, 0 where unlabelled.
        visibility, visibility_source, occluder: `Visibility`, `Source`, `Occluder` numbers.
    """

    keypoints_xy: Float[np.ndarray, "P J 2"]
    visibility: Int8[np.ndarray, "P J"]
    visibility_source: Int8[np.ndarray, "P J"]
    occluder: Int8[np.ndarray, "P J"]


def under(people: Instances) -> Bool[np.ndarray, " J"]:
    """Labelled joints of the target that an object or another person lies on, whoever put it there."""
    by_something = (people.occluder[0] == Occluder.OBJECT) | (people.occluder[0] == Occluder.PERSON)
    return by_something & (people.visibility[0] > 0)


def hide(people: Instances, covered: Bool[np.ndarray, "P J"], occluder: Occluder) -> Instances:
    """Labelled joints that something covers get its kind; those that were visible become occluded."""
    covered = covered & (people.visibility > 0)
    if not covered.any():
        return people
    seen = covered & (people.visibility == Visibility.VISIBLE)
    return Instances(
        people.keypoints_xy,
        np.where(seen, np.int8(Visibility.OCCLUDED), people.visibility),
        np.where(seen, np.int8(Source.PASTED), people.visibility_source),
        np.where(covered, np.int8(occluder), people.occluder),
    )


def cover(people: Instances, covered: Bool[np.ndarray, "P J"]) -> Instances:
    """What a pasted person covers: the target's joints are occluded, the joints of others leave."""
    others, target = covered.copy(), np.zeros_like(covered)
    others[0], target[0] = False, covered[0]
    people = hide(people, target, Occluder.PERSON)
    return Instances(
        np.where(others[..., None], 0.0, people.keypoints_xy),
        np.where(others, np.int8(Visibility.UNLABELLED), people.visibility),
        np.where(others, np.int8(Source.NONE), people.visibility_source),
        np.where(others, np.int8(Occluder.UNKNOWN), people.occluder),
    )


def append(people: Instances, one: Instances) -> Instances:
    """`people`, then `one`."""
    names = ("keypoints_xy", "visibility", "visibility_source", "occluder")
    return Instances(*(np.concatenate([getattr(people, name), getattr(one, name)]) for name in names))


def joints_diagonal(people: Instances) -> float:
    """Diagonal, in pixels, of the box round the target's labelled joints; 0 without any."""
    xy = people.keypoints_xy[0][people.visibility[0] > 0]
    return float(np.hypot(*np.ptp(xy, axis=0))) if len(xy) else 0.0
