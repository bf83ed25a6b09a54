"""Occluders of joints: each reason on constructed persons, and the margin to the pixel."""

from dataclasses import replace

import numpy as np
import pytest

from dag.annotation import PersonAnnotation
from dag.relabel.occluder import Reason, occluder_reasons, pixels_near
from tests.relabel.scenes import ELSEWHERE, WRIST, X, Y, other, rectangle, square_at_wrist, target
from tests.standing import HEIGHT, WIDTH, standing


def reason_of(*persons: PersonAnnotation, margin: float = 2.0) -> Reason:
    points = [{int(j): person.keypoints_xy[j] for j in np.flatnonzero(person.visibility == 1)} for person in persons]
    [(joint, reason)] = occluder_reasons(persons, points, margin)[0].items()
    assert joint == WRIST
    return reason


def test_each_occluder() -> None:
    assert reason_of(target(ELSEWHERE), other(square_at_wrist(5))) is Reason.OTHER_MASK
    assert reason_of(target(square_at_wrist(5)), other(ELSEWHERE)) is Reason.OWN_MASK
    assert reason_of(target(ELSEWHERE), other(ELSEWHERE)) is Reason.NO_MASK


def test_masks_of_two_other_persons_are_combined() -> None:
    halves = rectangle(X - 5, Y - 5, X, Y + 6), rectangle(X, Y - 5, X + 6, Y + 6)
    both = [other(halves[0]), replace(other(halves[1]), person_id=3)]
    assert reason_of(target(ELSEWHERE), *both) is Reason.OTHER_MASK
    overlapping = [other(square_at_wrist(5)), replace(other(square_at_wrist(4)), person_id=3)]
    assert reason_of(target(ELSEWHERE), *overlapping) is Reason.OTHER_MASK


def test_ambiguous_masks_give_no_occluder() -> None:
    assert reason_of(target(square_at_wrist(5)), other(square_at_wrist(5))) is Reason.OVERLAP
    crowd = standing(2, 100, mask=square_at_wrist(3), is_crowd=True)
    assert reason_of(target(square_at_wrist(5)), crowd) is Reason.CROWD
    assert reason_of(target(ELSEWHERE), replace(crowd, segmentation=None)) is Reason.CROWD
    assert reason_of(target(ELSEWHERE, masked=False), other(square_at_wrist(5))) is Reason.UNMASKED
    unmasked = other(square_at_wrist(5), masked=False)
    assert reason_of(target(ELSEWHERE), unmasked) is Reason.NEIGHBOUR_UNMASKED
    assert reason_of(target(square_at_wrist(5)), unmasked) is Reason.OWN_MASK
    person = target(ELSEWHERE)
    person.keypoints_xy[WRIST] = (WIDTH + 3, 50)
    assert reason_of(person) is Reason.OUTSIDE


@pytest.mark.parametrize("kind", ["own", "other"])
@pytest.mark.parametrize(("distance", "decided"), [(1, False), (2, False), (3, True), (4, True)])
def test_margin_to_the_pixel(kind: str, distance: int, decided: bool) -> None:
    """The mask ends `distance` pixels right of the joint: pixels at most 2 away must agree."""
    inside, outside = rectangle(X - 9, Y - 9, X + distance, Y + 10), rectangle(X + distance, Y - 9, X + 12, Y + 10)
    for mask, reason in ((inside, Reason.OWN_MASK if kind == "own" else Reason.OTHER_MASK), (outside, Reason.NO_MASK)):
        persons = [target(mask)] if kind == "own" else [target(ELSEWHERE), other(mask)]
        assert reason_of(*persons) is (reason if decided else Reason.NEAR_BORDER)


def test_margin_is_a_disc_of_pixel_centres_and_never_empty() -> None:
    rows, columns = pixels_near(np.array([10.4, 20.0]), 1.0, WIDTH, HEIGHT)
    assert set(zip(columns.tolist(), rows.tolist())) == {(10, 20), (11, 20), (10, 19), (10, 21)} - {(10, 19), (10, 21)}
    rows, columns = pixels_near(np.array([10.4, 20.3]), 0.0, WIDTH, HEIGHT)
    assert (columns.tolist(), rows.tolist()) == ([10], [20])
    rows, columns = pixels_near(np.array([0.0, HEIGHT - 1.0]), 1.0, WIDTH, HEIGHT)
    assert set(zip(columns.tolist(), rows.tolist())) == {(0, HEIGHT - 1), (1, HEIGHT - 1), (0, HEIGHT - 2)}
    assert len(pixels_near(np.array([50.0, 50.0]), 2.0, WIDTH, HEIGHT)[0]) == 13
