"""The body follows anthropometry and joint limits; its meshes are closed and oriented outwards."""

import itertools

import numpy as np
import pytest

from dag.body.anthropometry import BONE, CANONICAL, LIMITS, random_build
from dag.body.body import Body, pose_body
from dag.body.mesh import ball, box, tube
from dag.body.outfit import Outfit, random_outfit
from dag.body.pose import Pose, bone_frames
from dag.body.poses import random_pose
from dag.skeleton import COCO17

JOINT = {name: number for number, name in enumerate(COCO17.joints)}
LEFT, RIGHT = (np.array([JOINT[pair[side]] for pair in COCO17.pairs]) for side in (0, 1))


def _body(seed: int) -> Body:
    rng = np.random.default_rng(seed)
    build = random_build(rng)
    return pose_body(build, random_outfit(rng, build.bust, False), random_pose(rng, build), np.zeros(3), 0.0)


def _angle(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    """Angle in degrees by which the chain a-b-c deviates from a straight line."""
    one, two = b - a, c - b
    return float(np.rad2deg(np.arccos(np.clip(one @ two / np.linalg.norm(one) / np.linalg.norm(two), -1, 1))))


# Drillis & Contini: segment lengths as fractions of stature.
@pytest.mark.parametrize(
    ("upper", "lower", "fraction"),
    [
        ("left_upper_arm", "left_lower_arm", 0.186),
        ("right_lower_arm", "right_hand", 0.146),
        ("left_upper_leg", "left_lower_leg", 0.245),
        ("right_lower_leg", "right_foot", 0.246),
    ],
)
def test_segments_have_their_fraction_of_stature(upper: str, lower: str, fraction: float) -> None:
    assert np.linalg.norm(CANONICAL[BONE[lower]] - CANONICAL[BONE[upper]]) == pytest.approx(fraction, abs=1e-9)
    for seed in range(20):
        build = random_build(np.random.default_rng(seed))
        length = np.linalg.norm(build.joints[BONE[lower]] - build.joints[BONE[upper]]) / build.stature
        assert 0.85 * fraction < length < 1.1 * fraction


def test_poses_keep_lengths_and_joint_limits() -> None:
    for seed in range(200):
        rng = np.random.default_rng(seed)
        build = random_build(rng)
        pose = random_pose(rng, build)
        rotations, positions = bone_frames(build, pose)
        np.testing.assert_allclose(
            rotations @ rotations.transpose(0, 2, 1), np.tile(np.eye(3), (len(rotations), 1, 1)), atol=1e-9
        )
        for side in ("left", "right"):
            arm = [BONE[f"{side}_{part}"] for part in ("upper_arm", "lower_arm", "hand")]
            leg = [BONE[f"{side}_{part}"] for part in ("upper_leg", "lower_leg", "foot")]
            for chain, name in ((arm, "elbow"), (leg, "knee")):
                assert -1e-6 <= _angle(*positions[chain]) <= LIMITS[name][1] + 1e-6
                for one, two in itertools.pairwise(chain):
                    rest = np.linalg.norm(build.joints[two] - build.joints[one])
                    assert np.linalg.norm(positions[two] - positions[one]) == pytest.approx(rest)
            ankle_in_thigh = rotations[leg[0]].T @ (positions[leg[2]] - positions[leg[1]])
            assert ankle_in_thigh[2] < 1e-6, "knees bend backwards only"


def test_lowest_point_is_on_the_ground_or_lifted() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        build = random_build(rng)
        pose = random_pose(rng, build)
        body = pose_body(build, random_outfit(rng, build.bust, False), pose, np.array([1.0, 0, -3]), 77.0)
        used = np.unique(body.mesh.faces)
        assert body.mesh.vertices[used, 1].min() == pytest.approx(pose.lift, abs=0.02)


def test_left_is_the_persons_own_left() -> None:
    build = random_build(np.random.default_rng(0))
    outfit = random_outfit(np.random.default_rng(0), 0.0, False)
    for yaw, sign in ((0.0, 1), (180.0, -1)):
        joints = pose_body(build, outfit, Pose(), np.zeros(3), yaw).joints
        assert (sign * (joints[LEFT, 0] - joints[RIGHT, 0]) > 0).all()
        assert sign * (joints[JOINT["nose"], 2] - joints[LEFT[1:2], 2]) > 0


def test_faces_and_normals_point_outwards() -> None:
    body = _body(1)
    for mesh in (tube(ball(9, 12)), box((1, 2, 3), (0, 0, 0))):
        corners = mesh.vertices[mesh.faces]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        large = np.linalg.norm(normal, axis=1) > 1e-6
        assert ((normal * corners.mean(1)).sum(1)[large] > 0).all()
        assert ((mesh.normals * mesh.vertices).sum(1) > 0).all()
    assert np.isfinite(body.mesh.vertices).all()


def test_hair_does_not_cover_the_face() -> None:
    points = np.array([[0.0, 0.93, 0.06], [0.0, 0.99, 0.0], [0.0, 0.93, -0.05]])
    assert (Outfit().hair_height(points) > 0).tolist() == [False, True, True]
