"""Poses: a rotation per bone, from joint angles within the limits or from a target position of the wrist.

Frames as in `anthropometry`: a positive rotation about x bends the torso forward, one about y turns it to the person's
left.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from dag.body.anthropometry import BONE, BONES, CANONICAL, LIMITS, PARENTS, Build

SIGN = {"left": 1, "right": -1}


@dataclass(eq=False)
class Pose:
    """Bone rotations relative to the parent bone; that of the pelvis is relative to the upright body.

    Attributes:
        rotations: a rotation matrix per bone.
        lift: distance between the lowest point of the body and the ground, in metres.
        seated: the person needs a seat under the pelvis.
    """

    rotations: Float[np.ndarray, "B 3 3"] = field(default_factory=lambda: np.tile(np.eye(3), (len(BONES), 1, 1)))
    lift: float = 0.0
    seated: bool = False


def rotate(axis: str, degrees: float) -> Float[np.ndarray, "3 3"]:
    """Rotation matrix about a body axis, "x", "y" or "z"."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    if axis == "x":
        return np.array([[1.0, 0, 0], [0, c, -s], [0, s, c]])
    if axis == "y":
        return np.array([[c, 0.0, s], [0, 1, 0], [-s, 0, c]])
    return np.array([[c, -s, 0.0], [s, c, 0], [0, 0, 1]])


def clip_to_limits(name: str, degrees: float) -> float:
    """The angle, clipped to the joint's range of motion in `LIMITS`."""
    return float(np.clip(degrees, *LIMITS[name]))


def set_leg(
    pose: Pose, side: str, flexion: float, abduction: float, twist: float, knee: float, ankle: float | None = None
) -> None:
    """Set hip, knee and ankle angles in degrees, `ankle` positive for toes up; None keeps the sole level."""
    s = SIGN[side]
    flexion, knee = clip_to_limits("hip_flexion", flexion), clip_to_limits("knee", knee)
    rotation = rotate("z", s * clip_to_limits("hip_abduction", abduction)) @ rotate("x", -flexion)
    pose.rotations[BONE[f"{side}_upper_leg"]] = rotation @ rotate("y", s * clip_to_limits("hip_twist", twist))
    pose.rotations[BONE[f"{side}_lower_leg"]] = rotate("x", knee)
    pelvis_pitch = np.rad2deg(np.arcsin(np.clip(pose.rotations[0][2, 1], -1, 1)))
    level = knee + pelvis_pitch - flexion if ankle is None else ankle
    pose.rotations[BONE[f"{side}_foot"]] = rotate("x", -clip_to_limits("ankle", level))


def set_arm(pose: Pose, side: str, flexion: float, abduction: float, twist: float, elbow: float) -> None:
    """Set shoulder and elbow angles in degrees; a raised arm lifts the collar bone."""
    s = SIGN[side]
    flexion, abduction = clip_to_limits("shoulder_flexion", flexion), clip_to_limits("shoulder_abduction", abduction)
    rise = 0.16 * max(0.0, max(flexion, abduction) - 40)
    pose.rotations[BONE[f"{side}_collar"]] = rotate("z", s * rise)
    rotation = rotate("z", s * (abduction - rise)) @ rotate("x", -flexion)
    pose.rotations[BONE[f"{side}_upper_arm"]] = rotation @ rotate("y", s * clip_to_limits("shoulder_twist", twist))
    pose.rotations[BONE[f"{side}_lower_arm"]] = rotate("x", -clip_to_limits("elbow", elbow))


def reach(pose: Pose, build: Build, side: str, wrist: Float[np.ndarray, "3"], pole: Float[np.ndarray, "3"]) -> None:
    """Solve the arm's two-bone inverse kinematics: wrist at `wrist`, elbow towards `pole`.

    A wrist out of reach or too close is moved along the line from the shoulder.

    Args:
        wrist: canonical units, relative to the chest in its rest pose.
        pole: direction of the elbow.
    """
    names = [f"{side}_{part}" for part in ("upper_arm", "lower_arm", "hand")]
    shoulder, elbow, hand = (build.joints[BONE[name]] for name in names)
    upper, lower = np.linalg.norm(elbow - shoulder), np.linalg.norm(hand - elbow)
    chest = BONE["chest"]
    goal = build.joints[chest] + (wrist - CANONICAL[chest]) * build.stature - shoulder
    least = np.sqrt(upper**2 + lower**2 + 2 * upper * lower * np.cos(np.deg2rad(LIMITS["elbow"][1])))
    distance = np.clip(np.linalg.norm(goal), least, 0.995 * (upper + lower))
    ahead = goal / np.linalg.norm(goal)
    aside = pole - (pole @ ahead) * ahead
    aside /= np.linalg.norm(aside)
    along = (upper**2 - lower**2 + distance**2) / (2 * distance)
    bend = along * ahead + np.sqrt(max(upper**2 - along**2, 0.0)) * aside
    first, second = bend / upper, (distance * ahead - bend) / lower
    hinge = _frame(first, second)
    pose.rotations[BONE[f"{side}_collar"]] = np.eye(3)
    pose.rotations[BONE[names[0]]] = hinge
    pose.rotations[BONE[names[1]]] = hinge.T @ np.column_stack([hinge[:, 0], -second, np.cross(hinge[:, 0], -second)])


def _frame(down: Float[np.ndarray, "3"], forward: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """The rotation that maps -y to `down` and z to the component of `forward` perpendicular to it."""
    z = forward - (forward @ down) * down
    z /= np.linalg.norm(z)
    return np.column_stack([np.cross(-down, z), -down, z])


def bone_frames(build: Build, pose: Pose) -> tuple[Float[np.ndarray, "B 3 3"], Float[np.ndarray, "B 3"]]:
    """Rotation and position (metres, pelvis at its rest position) of every bone, by forward kinematics."""
    rotations, positions = np.empty((len(BONES), 3, 3)), np.empty((len(BONES), 3))
    for bone, parent in enumerate(PARENTS):
        if bone == parent:
            rotations[bone], positions[bone] = pose.rotations[bone], build.joints[bone]
        else:
            rotations[bone] = rotations[parent] @ pose.rotations[bone]
            positions[bone] = positions[parent] + rotations[parent] @ (build.joints[bone] - build.joints[parent])
    return rotations, positions
