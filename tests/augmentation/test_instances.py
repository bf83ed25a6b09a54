import numpy as np
import pytest

from dag.annotation import Occluder, Source, Visibility
from dag.augmentation.instances import (
    Instances,
    append,
    cover_by_instance,
    covered_joints,
    joints_diagonal,
    mark_covered,
)
from dag.geometry import at, pixel_of


def _instances(visibility: list[list[int]]) -> Instances:
    flags = np.array(visibility, dtype=np.int8)
    xy = np.arange(flags.size * 2, dtype=float).reshape(*flags.shape, 2)
    return Instances(xy, flags, np.where(flags > 0, Source.ANNOTATED, 0).astype(np.int8), np.zeros_like(flags))


def test_pixel_of_is_the_nearest_centre() -> None:
    assert pixel_of(np.array([[0.4, -0.5], [1.5, 2.49]])).tolist() == [[0, 0], [2, 2]]


def test_at_is_false_outside() -> None:
    mask = np.ones((2, 3), dtype=bool)
    xy = np.array([[-0.4, 0.0], [2.4, 1.4], [-0.6, 0.0], [0.0, 1.6], [3.0, 0.0]])
    assert at(mask, xy).tolist() == [True, True, False, False, False]
    assert at(mask * np.uint8(7), xy).tolist() == [7, 7, 0, 0, 0]


def test_covered_joints_are_those_behind_objects_and_persons() -> None:
    instances = _instances([[1, 1, 1, 1, 1, 0], [1] * 6])
    instances.occluder[:] = [0, Occluder.OBJECT, Occluder.PERSON, Occluder.SELF, Occluder.FRAME, Occluder.OBJECT]
    assert covered_joints(instances).tolist() == [False, True, True, False, False, False]


def test_covered_joints_get_the_occluder_and_occluded_ones_keep_visibility_and_source() -> None:
    before = _instances([[0, 1, 2, 3], [2, 2, 2, 2]])
    covered = np.array([[True] * 4, [False] * 4])
    after = mark_covered(before, covered, Occluder.OBJECT)
    assert after.visibility.tolist() == [[0, 1, 1, 3], [2, 2, 2, 2]]
    pasted, annotated = Source.PASTED, Source.ANNOTATED
    assert after.visibility_source[0].tolist() == [Source.NONE, annotated, pasted, annotated]
    assert after.occluder.tolist() == [[0, 1, 1, 1], [0, 0, 0, 0]]
    assert after.keypoints_xy is before.keypoints_xy
    assert mark_covered(before, np.zeros_like(covered), Occluder.OBJECT) is before


def test_covered_joints_of_others_become_unlabelled() -> None:
    after = cover_by_instance(_instances([[2, 2], [2, 1]]), np.array([[True, False], [True, False]]))
    assert after.visibility.tolist() == [[Visibility.OCCLUDED, 2], [Visibility.UNLABELLED, 1]]
    assert after.occluder.tolist() == [[Occluder.PERSON, 0], [0, 0]]
    assert after.keypoints_xy[1].tolist() == [[0, 0], [6, 7]]
    assert after.visibility_source[1].tolist() == [Source.NONE, Source.ANNOTATED]


def test_append_puts_the_new_instance_last() -> None:
    both = append(_instances([[2, 0]]), _instances([[1, 2]]))
    assert both.visibility.tolist() == [[2, 0], [1, 2]]
    assert both.keypoints_xy.shape == (2, 2, 2)


def test_diagonal_of_labelled_joints() -> None:
    flags = np.array([[2, 1, 0]], dtype=np.int8)
    instances = Instances(np.array([[[1.0, 1], [4, 5], [100, 100]]]), flags, flags, flags)
    assert joints_diagonal(instances) == pytest.approx(5)
    unlabelled = Instances(instances.keypoints_xy, flags * 0, flags, flags)
    assert joints_diagonal(unlabelled) == 0
