"""Skeletons: derived orders and rings against independent computations."""

from collections import deque

import numpy as np
import pytest
from pycocotools.cocoeval import Params

from dag.errors import UserError
from dag.skeleton import COCO17, CROWDPOSE14, SKELETONS, Skeleton, get_skeleton

BOTH = pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)


def _distances_from(start: str, skeleton: Skeleton) -> dict[str, int]:
    """Breadth-first search over the names."""
    distances, waiting = {start: 0}, deque([start])
    while waiting:
        here = waiting.popleft()
        for bone in skeleton.bones:
            if here in bone:
                there = bone[1 - bone.index(here)]
                if there not in distances:
                    distances[there] = distances[here] + 1
                    waiting.append(there)
    return distances


@BOTH
def test_hops_are_breadth_first_distances(skeleton: Skeleton) -> None:
    for i, start in enumerate(skeleton.joints):
        distances = _distances_from(start, skeleton)
        assert skeleton.hops[i].tolist() == [distances.get(name, -1) for name in skeleton.joints]


def test_unconnected_joints_have_no_way() -> None:
    skeleton = Skeleton("two", ("a", "b", "c"), (), (("a", "b"),), (0.1, 0.1, 0.1))
    assert skeleton.hops.tolist() == [[0, 1, -1], [1, 0, -1], [-1, -1, 0]]


@BOTH
def test_flip_twice_is_identity_and_swaps_names(skeleton: Skeleton) -> None:
    flip = skeleton.flip_index
    assert (flip[flip] == np.arange(len(skeleton))).all()
    for i, name in enumerate(skeleton.joints):
        swapped = name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")
        assert skeleton.joints[flip[i]] == swapped


@BOTH
def test_bones_are_symmetric(skeleton: Skeleton) -> None:
    bones = {frozenset(bone) for bone in skeleton.bone_index.tolist()}
    assert {frozenset(skeleton.flip_index[list(bone)].tolist()) for bone in bones} == bones


def test_coco_sigmas_are_pycocotools() -> None:
    np.testing.assert_allclose(COCO17.sigma_array, Params(iouType="keypoints").kpt_oks_sigmas, atol=1e-12)


@pytest.mark.parametrize(
    ("skeleton", "sizes"), [(COCO17, (19, 26, 33, 32, 20, 6)), (CROWDPOSE14, (15, 20, 24, 20, 10, 2))]
)
def test_ring_sizes(skeleton: Skeleton, sizes: tuple[int, ...]) -> None:
    upper = np.triu(skeleton.hops)
    assert tuple(int((upper == k).sum()) for k in range(1, 7)) == sizes


def test_unknown_skeleton_names_the_known() -> None:
    with pytest.raises(UserError, match=r"unknown skeleton: expected one of coco17, crowdpose14, got 'body25'"):
        get_skeleton("body25")


def test_skeleton_with_unknown_joint_is_refused() -> None:
    with pytest.raises(UserError, match="unknown joint"):
        Skeleton("bad", ("a",), (), (("a", "tail"),), (0.1,))
