"""Poses: a rotation for every bone, from joint angles within the limits or from where a wrist should go.

Frames as in `anthropometry`: a positive turn about x bends the backbone forward, about y turns to the person's left.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from dag.body.anthropometry import BONE, BONES, CANONICAL, LIMITS, PARENTS, Build

SIGN = {"left": 1, "right": -1}


@dataclass(eq=False)
class Pose:
    """Bone rotations against the parent bone; the pelvis' against the upright body.

    Attributes:
        turns: a rotation matrix a bone.
        lift: metres between the lowest point of the body and the ground.
        seated: something has to be under the pelvis.
    """

    turns: Float[np.ndarray, "B 3 3"] = field(default_factory=lambda: np.tile(np.eye(3), (len(BONES), 1, 1)))
    lift: float = 0.0
    seated: bool = False


def about(axis: str, degrees: float) -> Float[np.ndarray, "3 3"]:
    """Rotation matrix about one body axis."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    if axis == "x":
        return np.array([[1.0, 0, 0], [0, c, -s], [0, s, c]])
    if axis == "y":
        return np.array([[c, 0.0, s], [0, 1, 0], [-s, 0, c]])
    return np.array([[c, -s, 0.0], [s, c, 0], [0, 0, 1]])


def within(name: str, degrees: float) -> float:
    """The nearest angle that the joint can take."""
    return float(np.clip(degrees, *LIMITS[name]))


def set_leg(
    pose: Pose, side: str, flexion: float, abduction: float, twist: float, knee: float, ankle: float | None = None
) -> None:
    """Hip, knee and ankle in degrees, `ankle` positive for toes up. Without it the sole is as level as it can be."""
    s = SIGN[side]
    flexion, knee = within("hip_flexion", flexion), within("knee", knee)
    turn = about("z", s * within("hip_abduction", abduction)) @ about("x", -flexion)
    pose.turns[BONE[f"{side}_upper_leg"]] = turn @ about("y", s * within("hip_twist", twist))
    pose.turns[BONE[f"{side}_lower_leg"]] = about("x", knee)
    pelvis_pitch = np.rad2deg(np.arcsin(np.clip(pose.turns[0][2, 1], -1, 1)))
    level = knee + pelvis_pitch - flexion if ankle is None else ankle
    pose.turns[BONE[f"{side}_foot"]] = about("x", -within("ankle", level))


def set_arm(pose: Pose, side: str, flexion: float, abduction: float, twist: float, elbow: float) -> None:
    """Shoulder and elbow in degrees; a raised arm lifts the collar bone."""
    s = SIGN[side]
    flexion, abduction = within("shoulder_flexion", flexion), within("shoulder_abduction", abduction)
    rise = 0.16 * max(0.0, max(flexion, abduction) - 40)
    pose.turns[BONE[f"{side}_collar"]] = about("z", s * rise)
    turn = about("z", s * (abduction - rise)) @ about("x", -flexion)
    pose.turns[BONE[f"{side}_upper_arm"]] = turn @ about("y", s * within("shoulder_twist", twist))
    pose.turns[BONE[f"{side}_lower_arm"]] = about("x", -within("elbow", elbow))


def reach(pose: Pose, build: Build, side: str, wrist: Float[np.ndarray, "3"], pole: Float[np.ndarray, "3"]) -> None:
    """Put the wrist at `wrist` (canonical units, chest at rest), the elbow towards `pole`.

    A wrist out of reach or too near is moved along the line from the shoulder.
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
    pose.turns[BONE[f"{side}_collar"]] = np.eye(3)
    pose.turns[BONE[names[0]]] = hinge
    pose.turns[BONE[names[1]]] = hinge.T @ np.column_stack([hinge[:, 0], -second, np.cross(hinge[:, 0], -second)])


def _frame(down: Float[np.ndarray, "3"], forward: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """The rotation that takes -y to `down` and z to the part of `forward` that is square to it."""
    z = forward - (forward @ down) * down
    z /= np.linalg.norm(z)
    return np.column_stack([np.cross(-down, z), -down, z])


def bone_frames(build: Build, pose: Pose) -> tuple[Float[np.ndarray, "B 3 3"], Float[np.ndarray, "B 3"]]:
    """Rotation and place (metres, pelvis at its rest place) of every bone."""
    turns, places = np.empty((len(BONES), 3, 3)), np.empty((len(BONES), 3))
    for bone, parent in enumerate(PARENTS):
        if bone == parent:
            turns[bone], places[bone] = pose.turns[bone], build.joints[bone]
        else:
            turns[bone] = turns[parent] @ pose.turns[bone]
            places[bone] = places[parent] + turns[parent] @ (build.joints[bone] - build.joints[parent])
    return turns, places
