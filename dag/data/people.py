"""Everyone in a crop, and what happens to their labels when something covers them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Int8, Shaped

from dag.person import Occluder, Source, Visibility


@dataclass(frozen=True, eq=False)
class People:
    """Everyone in a crop; person 0 is the target.

    Attributes:
        keypoints_xy: pixels of the crop, pixel-index frame; 0, 0 where unlabelled.
        visibility, visibility_source, occluder: `Visibility`, `Source`, `Occluder` numbers.
    """

    keypoints_xy: Float[np.ndarray, "P J 2"]
    visibility: Int8[np.ndarray, "P J"]
    visibility_source: Int8[np.ndarray, "P J"]
    occluder: Int8[np.ndarray, "P J"]


def pixel_of(xy: Float[np.ndarray, "*shape 2"]) -> Int[np.ndarray, "*shape 2"]:
    """Column and row of the pixel that a point lies on."""
    return np.floor(xy + 0.5).astype(int)


def at(values: Shaped[np.ndarray, "H W"], xy: Float[np.ndarray, "*shape 2"]) -> Shaped[np.ndarray, "*shape"]:
    """The pixels under points; 0 or False outside."""
    pixel = pixel_of(xy)
    inside = ((pixel >= 0) & (pixel < values.shape[::-1])).all(axis=-1)
    found = np.zeros(inside.shape, values.dtype)
    found[inside] = values[pixel[inside, 1], pixel[inside, 0]]
    return found


def under(people: People) -> Bool[np.ndarray, " J"]:
    """Labelled joints of the target that an object or another person lies on, whoever put it there."""
    by_something = (people.occluder[0] == Occluder.OBJECT) | (people.occluder[0] == Occluder.PERSON)
    return by_something & (people.visibility[0] > 0)


def hide(people: People, covered: Bool[np.ndarray, "P J"], occluder: Occluder) -> People:
    """Labelled joints that something covers get its kind; those that were visible become hidden."""
    covered = covered & (people.visibility > 0)
    if not covered.any():
        return people
    seen = covered & (people.visibility == Visibility.VISIBLE)
    return People(
        people.keypoints_xy,
        np.where(seen, np.int8(Visibility.HIDDEN), people.visibility),
        np.where(seen, np.int8(Source.PASTED), people.visibility_source),
        np.where(covered, np.int8(occluder), people.occluder),
    )


def cover(people: People, covered: Bool[np.ndarray, "P J"]) -> People:
    """What a pasted person covers: the target's joints are hidden, the joints of others leave."""
    others, target = covered.copy(), np.zeros_like(covered)
    others[0], target[0] = False, covered[0]
    people = hide(people, target, Occluder.PERSON)
    return People(
        np.where(others[..., None], 0.0, people.keypoints_xy),
        np.where(others, np.int8(Visibility.UNLABELLED), people.visibility),
        np.where(others, np.int8(Source.NONE), people.visibility_source),
        np.where(others, np.int8(Occluder.UNKNOWN), people.occluder),
    )


def append(people: People, one: People) -> People:
    """`people`, then `one`."""
    names = ("keypoints_xy", "visibility", "visibility_source", "occluder")
    return People(*(np.concatenate([getattr(people, name), getattr(one, name)]) for name in names))


def joints_diagonal(people: People) -> float:
    """Diagonal, in pixels, of the box round the target's labelled joints; 0 without any."""
    xy = people.keypoints_xy[0][people.visibility[0] > 0]
    return float(np.hypot(*np.ptp(xy, axis=0))) if len(xy) else 0.0
