"""COCO-RE, first form: instance masks decide what hides each joint that is labelled but not visible.

An annotated mask covers a person's visible pixels, clothes included. A hidden joint whose pixel belongs to another
person is hidden by that person; in its own person's mask, by the person itself (a joint under clothes alone is
annotated visible); in nobody's, by an object. Near a border where the answer changes, or where masks contradict each
other, nothing is decided. COCO calls a joint visible when it falls inside its person's segment
(cocodataset.org/#keypoints-eval), so hardly any of its hidden joints can be hidden by the person itself.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Float, Int, Int16

from dag.data.masks import decode_mask, in_box
from dag.data.people import pixel_of
from dag.files import whole_file
from dag.geometry import inside_image
from dag.person import Occluder, Person, Source, Visibility
from dag.skeleton import Skeleton
from dag.work import Workers

BUNDLE = 32
"""Photographs that a worker takes at a time."""


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


OCCLUDER_OF = {Reason.NO_MASK: Occluder.OBJECT, Reason.OTHER_MASK: Occluder.PERSON, Reason.OWN_MASK: Occluder.SELF}


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


CHANGE_SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("split", pa.string()),
        ("image_id", pa.int64()),
        ("person_id", pa.int64()),
        ("joint", pa.string()),
        ("x", pa.float64()),
        ("y", pa.float64()),
        ("visibility_before", pa.int8()),
        ("visibility_after", pa.int8()),
        ("occluder", pa.string()),
        ("reason", pa.string()),
    ]
)


def relabel(
    persons: Sequence[Person], skeleton: Skeleton, *, margin: float, workers: Workers
) -> tuple[list[Person], list[Change], Counter[Reason]]:
    """Decide what hides each joint with visibility 1.

    Decided joints get visibility `RELABELLED`, source `RELABELLED` and their occluder; nothing else changes, locations
    never. Relabelling the result again changes nothing.

    Args:
        persons: all rows of the photographs.
        skeleton: what the joints are.
        margin: pixels round a joint in which the answer must be the same everywhere.
        workers: share the photographs.

    Returns:
        The rows, in order; the changes, in order of rows and joints; why the other hidden joints stayed undecided.
    """
    photographs: dict[tuple[str, str, int], list[int]] = {}
    for number, person in enumerate(persons):
        photographs.setdefault((person.dataset, person.split, person.image_id), []).append(number)
    hidden = [numbers for numbers in photographs.values() if any(_has_hidden(persons[number]) for number in numbers)]
    bundles = [hidden[start : start + BUNDLE] for start in range(0, len(hidden), BUNDLE)]
    tasks = (([[persons[number] for number in numbers] for numbers in bundle], margin) for bundle in bundles)
    decided = chain.from_iterable(workers.map(_decide_all, tasks, "photographs", len(bundles)))
    pairs = zip(chain.from_iterable(decided), chain.from_iterable(hidden))
    decisions = {number: found for found, number in pairs}
    rows, changes, undecided = list(persons), [], Counter()
    for number in sorted(decisions):
        rows[number], changed = _apply(persons[number], decisions[number], skeleton)
        changes += changed
        undecided.update(reason for reason in decisions[number].values() if reason not in OCCLUDER_OF)
    return rows, changes, undecided


def _has_hidden(person: Person) -> bool:
    return bool((person.visibility == Visibility.HIDDEN).any())


def _decide_all(photographs: Sequence[Sequence[Person]], margin: float) -> list[list[dict[int, Reason]]]:
    """`decide` of several."""
    return [decide(people, margin) for people in photographs]


def decide(people: Sequence[Person], margin: float) -> list[dict[int, Reason]]:
    """For each person of one photograph: joint number to reason, of each of its joints with visibility 1."""
    height, width = people[0].image_height, people[0].image_width
    masks = [decode_mask(person) for person in people]
    crowd, count = np.zeros((height, width), dtype=bool), np.zeros((height, width), dtype=np.int16)
    for person, mask in zip(people, masks):
        if person.is_crowd:
            crowd |= in_box(person, (0, 0), (height, width)) if mask is None else mask
        elif mask is not None:
            count += mask
    unmasked = np.zeros((height, width), dtype=bool)
    for person, mask in zip(people, masks):
        if mask is None and not person.is_crowd:
            unmasked |= in_box(person, (0, 0), (height, width))
    return [
        {
            int(joint): _reason(person.keypoints_xy[joint], mask, count, crowd, unmasked, margin)
            for joint in np.flatnonzero(person.visibility == Visibility.HIDDEN)
        }
        for person, mask in zip(people, masks)
    ]


def _reason(
    xy: Float[np.ndarray, "2"],
    own: Bool[np.ndarray, "H W"] | None,
    count: Int16[np.ndarray, "H W"],
    crowd: Bool[np.ndarray, "H W"],
    unmasked: Bool[np.ndarray, "H W"],
    margin: float,
) -> Reason:
    """What the pixels within `margin` of a joint say, if they agree.

    Args:
        xy: image pixels, pixel-index frame.
        own: the person's mask.
        count: number of masks of people, its own among them, on each pixel.
        crowd: crowd regions.
        unmasked: boxes of people without mask.
    """
    height, width = count.shape
    if not inside_image(xy[None], width, height)[0]:
        return Reason.OUTSIDE
    if own is None:
        return Reason.UNMASKED
    near = pixels_near(xy, margin, width, height)
    if crowd[near].any():
        return Reason.CROWD
    mine, others = own[near], count[near] > own[near]
    if (mine & others).any():
        return Reason.OVERLAP
    if mine.all():
        return Reason.OWN_MASK
    if others.all():
        return Reason.OTHER_MASK
    if mine.any() or others.any():
        return Reason.NEAR_BORDER
    return Reason.NEIGHBOUR_UNMASKED if unmasked[near].any() else Reason.NO_MASK


def pixels_near(
    xy: Float[np.ndarray, "2"], margin: float, width: int, height: int
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Rows and columns of the pixel that a point lies on, and of all whose centre is within `margin` of the point."""
    column, row = pixel_of(xy)
    reach = int(margin) + 1
    rows = np.arange(max(row - reach, 0), min(row + reach + 1, height))
    columns = np.arange(max(column - reach, 0), min(column + reach + 1, width))
    near = np.hypot(rows[:, None] - xy[1], columns - xy[0]) <= margin
    near |= (rows == row)[:, None] & (columns == column)
    chosen = np.nonzero(near)
    return rows[chosen[0]], columns[chosen[1]]


def _apply(person: Person, reasons: dict[int, Reason], skeleton: Skeleton) -> tuple[Person, list[Change]]:
    """The person with its decided joints relabelled, and a change for each."""
    visibility, source, occluder = (
        array.copy() for array in (person.visibility, person.visibility_source, person.occluder)
    )
    changes = []
    for joint, reason in reasons.items():
        if reason not in OCCLUDER_OF:
            continue
        visibility[joint], source[joint] = Visibility.RELABELLED, Source.RELABELLED
        occluder[joint] = OCCLUDER_OF[reason]
        changes.append(
            Change(
                dataset=person.dataset,
                split=person.split,
                image_id=person.image_id,
                person_id=person.person_id,
                joint=skeleton.joints[joint],
                x=float(person.keypoints_xy[joint, 0]),
                y=float(person.keypoints_xy[joint, 1]),
                visibility_before=int(person.visibility[joint]),
                visibility_after=int(visibility[joint]),
                occluder=OCCLUDER_OF[reason].name.lower(),
                reason=reason.value,
            )
        )
    return replace(person, visibility=visibility, visibility_source=source, occluder=occluder), changes


def write_changes(path: str | Path, changes: Sequence[Change]) -> None:
    """Write the change table as parquet, whole or not at all."""
    columns = {field.name: [getattr(change, field.name) for change in changes] for field in CHANGE_SCHEMA}
    with whole_file(path) as partial:
        pq.write_table(pa.table(columns, schema=CHANGE_SCHEMA), partial, compression="zstd")


def relabel_metrics(
    before: Sequence[Person], after: Sequence[Person], undecided: Mapping[Reason, int]
) -> dict[str, Any]:
    """Counts of hidden joints (visibility 1) and what became of them; where rows know the truth, how often it is met.

    `truth.confusion`: decided kind, true kind, number of joints. Its accuracy is over decided joints with known truth.
    """
    pairs = [
        (int(new.occluder[joint]) if new.visibility[joint] == Visibility.RELABELLED else None, _truth(old, int(joint)))
        for old, new in zip(before, after)
        for joint in np.flatnonzero(old.visibility == Visibility.HIDDEN)
    ]
    decided = Counter(Occluder(kind).name.lower() for kind, _ in pairs if kind is not None)
    metrics: dict[str, Any] = {
        "hidden_joints": len(pairs),
        "decided": {kind.name.lower(): decided[kind.name.lower()] for kind in OCCLUDER_OF.values()},
        "undecided": {reason.value: undecided.get(reason, 0) for reason in Reason if reason not in OCCLUDER_OF},
        "undecided_share": sum(kind is None for kind, _ in pairs) / max(len(pairs), 1),
    }
    known = [(Occluder(kind).name.lower(), truth) for kind, truth in pairs if kind is not None and truth is not None]
    if known:
        confusion = {kind: dict(sorted(Counter(t for k, t in known if k == kind).items())) for kind in decided}
        accuracy = sum(kind == truth for kind, truth in known) / len(known)
        metrics["truth"] = {"joints": len(known), "accuracy": accuracy, "confusion": dict(sorted(confusion.items()))}
    return metrics


def _truth(person: Person, joint: int) -> str | None:
    if person.true_occluder is None or person.true_occluder[joint] == Occluder.UNKNOWN:
        return None
    return Occluder(person.true_occluder[joint]).name.lower()
