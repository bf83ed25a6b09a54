"""Skeletons: derived joint orders and hop distances against independent computations."""

from collections import deque

import numpy as np
import pytest
from pycocotools.cocoeval import Params

from dag.errors import UserError
from dag.skeleton import (
    COCO17,
    CROWDPOSE14,
    LIMBS,
    LOWER_BODY,
    SKELETONS,
    TORSO,
    TORSO_OUTLINE,
    Skeleton,
    get_skeleton,
)

BOTH = pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)


def _distances_from(start: str, skeleton: Skeleton) -> dict[str, int]:
    """Breadth-first search over joint names."""
    distances, queue = {start: 0}, deque([start])
    while queue:
        joint = queue.popleft()
        for bone in skeleton.bones:
            if joint in bone:
                neighbour = bone[1 - bone.index(joint)]
                if neighbour not in distances:
                    distances[neighbour] = distances[joint] + 1
                    queue.append(neighbour)
    return distances


@BOTH
def test_hops_are_breadth_first_distances(skeleton: Skeleton) -> None:
    for i, start in enumerate(skeleton.joints):
        distances = _distances_from(start, skeleton)
        assert skeleton.hops[i].tolist() == [distances.get(name, -1) for name in skeleton.joints]


def test_unconnected_joints_have_distance_minus_1() -> None:
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


@BOTH
def test_joint_groups(skeleton: Skeleton) -> None:
    limbs = [name for name, is_limb in zip(skeleton.joints, skeleton.is_limb) if is_limb]
    lower = [name for name, is_lower in zip(skeleton.joints, skeleton.is_lower_body) if is_lower]
    assert limbs == [f"{side}_{limb}" for limb in LIMBS for side in ("left", "right")]
    assert lower == [f"{side}_{limb}" for limb in LOWER_BODY for side in ("left", "right")]
    assert set(TORSO) < set(TORSO_OUTLINE) < set(skeleton.joints)


def test_coco_sigmas_are_pycocotools() -> None:
    np.testing.assert_allclose(COCO17.sigma_array, Params(iouType="keypoints").kpt_oks_sigmas, atol=1e-12)


@pytest.mark.parametrize(
    ("skeleton", "sizes"), [(COCO17, (19, 26, 33, 32, 20, 6)), (CROWDPOSE14, (15, 20, 24, 20, 10, 2))]
)
def test_ring_sizes(skeleton: Skeleton, sizes: tuple[int, ...]) -> None:
    upper = np.triu(skeleton.hops)
    assert tuple(int((upper == k).sum()) for k in range(1, 7)) == sizes


def test_unknown_skeleton_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"unknown skeleton: expected one of coco17, crowdpose14, got 'body25'"):
        get_skeleton("body25")


def test_skeleton_with_unknown_joint_is_refused() -> None:
    with pytest.raises(UserError, match="unknown joint"):
        Skeleton("bad", ("a",), (), (("a", "tail"),), (0.1,))


def test_invalid_skeletons_are_refused() -> None:
    with pytest.raises(UserError, match="bad: wrong number of sigmas: expected 2, got 1"):
        Skeleton("bad", ("a", "b"), (), (), (0.1,))
    with pytest.raises(UserError, match="bad: duplicate joint: expected unique names"):
        Skeleton("bad", ("a", "a"), (), (), (0.1, 0.1))


@pytest.mark.parametrize(
    "skeleton", [COCO17, Skeleton("hand", ("palm", "thumb"), (), (("palm", "thumb"),), (0.1, 0.1))]
)
def test_text_round_trip(skeleton: Skeleton) -> None:
    assert get_skeleton(skeleton.text) == skeleton
    assert (skeleton.text == "coco17") == (skeleton is COCO17)
