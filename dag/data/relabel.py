"""COCO-RE, first form: instance masks decide what hides each joint that is labelled but not visible.

An annotated mask covers a person's visible pixels, clothes included. A hidden joint whose pixel belongs to another
person is hidden by that person; in its own person's mask, by the person itself (a joint under clothes alone is
annotated visible); in nobody's, by an object. Near a border where the answer changes, or where masks contradict each
other, nothing is decided.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int8

from dag.data.parsing.masks import decode_mask
from dag.data.people import pixel_of
from dag.files import whole_file
from dag.geometry import inside_image
from dag.person import Occluder, Person, Source, Visibility
from dag.skeleton import Skeleton
from dag.stage import progress

DECIDED = (Occluder.OBJECT, Occluder.PERSON, Occluder.SELF)

AMBIGUOUS = -1


class Reason(StrEnum):
    """Why a joint was given an occluder, or none."""

    OTHER_MASK = "in another person's mask"
    OWN_MASK = "in its own person's mask"
    NO_MASK = "in nobody's mask"
    NEAR_BORDER = "near a mask's border"
    OVERLAP = "masks overlap there"
    CROWD = "in a crowd region"
    UNMASKED = "person has no mask"
    NEIGHBOUR_UNMASKED = "neighbour without mask there"
    OUTSIDE = "outside the photograph"


REASON_OF = {Occluder.PERSON: Reason.OTHER_MASK, Occluder.SELF: Reason.OWN_MASK, Occluder.OBJECT: Reason.NO_MASK}


@dataclass(frozen=True)
class Change:
    """A joint that was relabelled; one row of the change table.

    Attributes:
        dataset, split, image_id, person_id: whose.
        joint: its name.
        x, y: image pixels, pixel-index frame; as before.
        visibility_before, visibility_after: `Visibility` numbers.
        occluder: name of the `Occluder`, lower case.
        reason: a `Reason`.
    """

    dataset: str
    split: str
    image_id: int
    person_id: int
    joint: str
    x: float
    y: float
    visibility_before: int
    visibility_after: int
    occluder: str
    reason: str


def relabel(
    persons: Sequence[Person], skeleton: Skeleton, *, margin: float
) -> tuple[list[Person], list[Change], Counter[Reason]]:
    """Decide what hides each joint with visibility 1.

    Decided joints get visibility `RELABELLED`, source `RELABELLED` and their occluder; nothing else changes, locations
    never. Relabelling the result again changes nothing.

    Args:
        persons: all rows of the photographs.
        skeleton: what the joints are.
        margin: pixels round a joint in which the answer must be the same everywhere.

    Returns:
        The rows, in order; the changes, in order of rows and joints; why the other hidden joints stayed undecided.
    """
    photographs: dict[tuple[str, str, int], list[int]] = {}
    for number, person in enumerate(persons):
        photographs.setdefault((person.dataset, person.split, person.image_id), []).append(number)
    rows = list(persons)
    changes: list[tuple[int, Change]] = []
    undecided: Counter[Reason] = Counter()
    for numbers in progress(photographs.values(), "photographs"):
        people = [persons[number] for number in numbers]
        if not any((person.visibility == Visibility.HIDDEN).any() for person in people):
            continue
        for number, decisions in zip(numbers, decide(people, margin)):
            rows[number], changed = _apply(persons[number], decisions, skeleton)
            changes += [(number, change) for change in changed]
            undecided.update(reason for reason in decisions.values() if reason not in REASON_OF.values())
    return rows, [change for _, change in sorted(changes, key=lambda entry: entry[0])], undecided


def decide(people: Sequence[Person], margin: float) -> list[dict[int, Reason]]:
    """For each person of one photograph, the reason that holds for each of its joints with visibility 1."""
    layers = _Layers.of(people)
    return [
        {
            int(joint): _reason(layers, people, number, people[number].keypoints_xy[joint], margin)
            for joint in np.flatnonzero(person.visibility == Visibility.HIDDEN)
        }
        for number, person in enumerate(people)
    ]


@dataclass(frozen=True, eq=False)
class _Layers:
    """What lies on each pixel of a photograph."""

    own: list[np.ndarray | None]
    people: Int8[np.ndarray, "H W"] | np.ndarray
    crowd: np.ndarray

    @staticmethod
    def of(people: Sequence[Person]) -> "_Layers":
        height, width = people[0].image_height, people[0].image_width
        masks = [decode_mask(person) for person in people]
        count, crowd = np.zeros((height, width), dtype=np.int16), np.zeros((height, width), dtype=bool)
        for person, mask in zip(people, masks):
            if mask is not None and person.is_crowd:
                crowd |= mask
            elif mask is not None:
                count += mask
        return _Layers(masks, count, crowd)


def x():
    ...
