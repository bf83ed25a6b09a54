"""Random poses: an action of the legs, arm poses, and the orientation of torso and head."""

from collections.abc import Callable

import numpy as np

from dag.body.anthropometry import BONE, Build
from dag.body.pose import SIGN, Pose, clip_to_limits, reach, rotate, set_arm, set_leg

Rng = np.random.Generator
SIDES = ("left", "right")


def random_pose(rng: Rng, build: Build) -> Pose:
    """A random pose of everyday life or sport, within the joint limits."""
    pose = Pose()
    names = list(LEGS)
    legs = names[rng.choice(len(names), p=np.array([LEGS[name][1] for name in names]))]
    _torso(rng, pose, legs)
    LEGS[legs][0](rng, pose)
    if legs in ("walk", "run") and rng.random() < 0.75:
        _swing_arms(rng, pose, legs == "run")
    elif rng.random() < 0.45:
        _pair_of_arms(rng, pose, build)
    else:
        for side in SIDES:
            _single_arm(rng, pose, build, side)
    for side in SIDES:
        wrist = rotate("x", rng.normal(-5, 12)) @ rotate("y", SIGN[side] * rng.normal(10, 35))
        pose.rotations[BONE[f"{side}_hand"]] = wrist
    return pose


def _torso(rng: Rng, pose: Pose, legs: str) -> None:
    bend = {"run": 8.0, "squat": 25.0, "lunge": 8.0, "jump": 5.0}.get(legs, 2.0) + rng.normal(0, 5)
    pitch = bend * 0.4
    if legs in ("stand", "apart") and rng.random() < 0.16:  # bowing, tying a shoe, picking an object up
        bend, pitch = rng.uniform(20, 65), rng.uniform(20, 65)
    bend = clip_to_limits("spine_flexion", bend)
    twist, lean = rng.normal(0, 10), rng.normal(0, 5)
    pose.rotations[0] = rotate("y", rng.normal(0, 4)) @ rotate("x", pitch) @ rotate("z", -0.6 * lean)
    for bone in ("spine", "chest"):
        pose.rotations[BONE[bone]] = rotate("y", twist / 2) @ rotate("x", bend / 2) @ rotate("z", lean)
    look = clip_to_limits("neck_turn", rng.normal(0, 22))
    nod = rng.normal(4, 10) - 0.35 * (bend + pitch)
    for bone in ("neck", "head"):
        pose.rotations[BONE[bone]] = rotate("y", look / 2) @ rotate("x", nod / 2) @ rotate("z", rng.normal(0, 3))


def _pitch(pose: Pose) -> float:
    return float(np.rad2deg(np.arcsin(np.clip(pose.rotations[0][2, 1], -1, 1))))


def _stand(rng: Rng, pose: Pose) -> None:
    free = SIDES[rng.integers(2)]
    for side in SIDES:
        knee = rng.uniform(8, 28) if side == free else rng.uniform(0, 4)
        set_leg(pose, side, _pitch(pose) + 0.5 * knee, rng.uniform(1, 9), rng.uniform(0, 20), knee)


def _disjoint(rng: Rng, pose: Pose) -> None:
    spread = rng.uniform(10, 28)
    for side in SIDES:
        knee = rng.uniform(0, 30)
        set_leg(pose, side, _pitch(pose) + 0.5 * knee, spread + rng.normal(0, 3), rng.uniform(5, 25), knee)


def _walk(rng: Rng, pose: Pose) -> None:
    ahead, stride = SIDES[rng.integers(2)], rng.uniform(12, 28)
    for side in SIDES:
        if side == ahead:
            set_leg(pose, side, stride + _pitch(pose), rng.uniform(0, 4), rng.normal(4, 5), rng.uniform(2, 14))
        else:
            knee = rng.uniform(8, 55)
            set_leg(pose, side, -18 + 0.35 * knee, rng.uniform(0, 4), rng.normal(4, 5), knee, -rng.uniform(5, 25))


def _run(rng: Rng, pose: Pose) -> None:
    ahead = SIDES[rng.integers(2)]
    pose.lift = rng.choice([0.0, rng.uniform(0.0, 0.12)])
    for side in SIDES:
        if side == ahead:
            set_leg(pose, side, rng.uniform(35, 80), rng.uniform(0, 5), rng.normal(0, 6), rng.uniform(35, 105), 0.0)
        else:
            set_leg(pose, side, rng.uniform(-20, 5), rng.uniform(0, 5), rng.normal(0, 6), rng.uniform(15, 100), -20.0)


def _sit(rng: Rng, pose: Pose) -> None:
    pose.seated = True
    spread = rng.uniform(2, 22)
    for side in SIDES:
        flexion = rng.uniform(78, 95) + _pitch(pose)
        set_leg(pose, side, flexion, spread, rng.uniform(-5, 10), rng.uniform(65, 105))


def _sit_on_ground(rng: Rng, pose: Pose) -> None:
    pose.rotations[0] = rotate("x", -rng.uniform(5, 25))
    for side in SIDES:
        knee = rng.uniform(5, 110)
        set_leg(pose, side, 70 + 0.42 * knee, rng.uniform(2, 25), rng.uniform(0, 30), knee, -10.0)


def _squat(rng: Rng, pose: Pose) -> None:
    depth = rng.uniform(45, 112)
    for side in SIDES:
        set_leg(pose, side, depth + _pitch(pose), rng.uniform(6, 24), rng.uniform(5, 25), 1.15 * depth)


def _lunge(rng: Rng, pose: Pose) -> None:
    ahead, depth = SIDES[rng.integers(2)], rng.uniform(35, 85)
    for side in SIDES:
        if side == ahead:
            set_leg(pose, side, depth, rng.uniform(2, 12), rng.uniform(0, 12), depth + rng.uniform(-5, 10))
        else:
            set_leg(pose, side, -rng.uniform(5, 20), rng.uniform(2, 10), rng.uniform(0, 20), rng.uniform(5, 60), 15.0)


def _kneel(rng: Rng, pose: Pose) -> None:
    down = SIDES[rng.integers(2)]
    both = rng.random() < 0.4
    for side in SIDES:
        if side == down or both:
            set_leg(pose, side, rng.uniform(-10, 15), rng.uniform(2, 12), 0.0, rng.uniform(88, 100), -40.0)
        else:
            set_leg(pose, side, rng.uniform(85, 100), rng.uniform(2, 15), 5.0, rng.uniform(85, 100))


def _kick(rng: Rng, pose: Pose) -> None:
    up = SIDES[rng.integers(2)]
    for side in SIDES:
        if side == up:
            set_leg(
                pose, side, rng.uniform(25, 105), rng.uniform(0, 40), rng.uniform(0, 20), rng.uniform(0, 100), -20.0
            )
        else:
            knee = rng.uniform(2, 25)
            set_leg(pose, side, 0.5 * knee + _pitch(pose), rng.uniform(0, 6), 5.0, knee)


def _jump(rng: Rng, pose: Pose) -> None:
    pose.lift = rng.uniform(0.05, 0.4)
    for side in SIDES:
        knee = rng.uniform(5, 110)
        set_leg(pose, side, 0.6 * knee + rng.normal(0, 8), rng.uniform(0, 30), rng.uniform(0, 20), knee, -30.0)


# Leg actions and their probabilities.
LEGS: dict[str, tuple[Callable[[Rng, Pose], None], float]] = {
    "stand": (_stand, 0.32),
    "apart": (_disjoint, 0.11),
    "walk": (_walk, 0.17),
    "run": (_run, 0.09),
    "sit": (_sit, 0.09),
    "sit_on_ground": (_sit_on_ground, 0.03),
    "squat": (_squat, 0.05),
    "lunge": (_lunge, 0.05),
    "kneel": (_kneel, 0.03),
    "kick": (_kick, 0.04),
    "jump": (_jump, 0.02),
}


def _swing_arms(rng: Rng, pose: Pose, fast: bool) -> None:
    left_leg_ahead = pose.rotations[BONE["left_upper_leg"]][2, 1] < pose.rotations[BONE["right_upper_leg"]][2, 1]
    for side in SIDES:
        back = left_leg_ahead == (side == "left")
        swing = rng.uniform(20, 50) if fast else rng.uniform(8, 30)
        elbow = rng.uniform(70, 110) if fast else rng.uniform(5, 40)
        set_arm(pose, side, -swing if back else swing, rng.uniform(4, 14), rng.normal(-5, 8), elbow)


# Poses of both arms: (left wrist in canonical units, direction of the left elbow), mirrored for the right arm.
_PAIRS = {
    "crossed": ((-0.055, 0.715, 0.098), (0.7, -1.0, 0.1)),
    "hips": ((0.118, 0.590, 0.015), (1.0, 0.05, -0.6)),
    "clasped": ((0.022, 0.570, 0.112), (1.0, -0.4, -0.4)),
    "behind": ((0.030, 0.575, -0.100), (0.8, -0.3, -0.8)),
    "forward": ((0.090, 0.800, 0.310), (0.4, -1.0, 0.0)),
    "up": ((0.135, 1.130, 0.020), (1.0, 0.2, 0.5)),
    "head": ((0.070, 0.985, -0.005), (1.0, 0.1, 0.1)),
    "guard": ((0.060, 0.845, 0.150), (0.5, -1.0, -0.1)),
    "carry": ((0.075, 0.670, 0.185), (0.6, -1.0, -0.5)),
    "screen": ((0.040, 0.740, 0.190), (0.6, -1.0, -0.2)),
}
_LAP = ((0.080, 0.600, 0.190), (0.7, -0.6, -0.5))  # hand on the thigh of a seated person
_ONE_HAND = {
    "hip": ((0.118, 0.590, 0.015), (1.0, 0.05, -0.6)),
    "ear": ((0.085, 0.905, 0.035), (0.6, -1.0, 0.4)),
    "chin": ((0.020, 0.850, 0.105), (0.5, -1.0, 0.1)),
    "wave": ((0.190, 0.960, 0.060), (0.6, -1.0, 0.1)),
    "up": ((0.120, 1.130, 0.030), (1.0, 0.2, 0.5)),
    "forward": ((0.070, 0.800, 0.310), (0.4, -1.0, 0.0)),
    "chest": ((-0.020, 0.750, 0.110), (0.8, -1.0, 0.1)),
    "other_elbow": ((-0.080, 0.665, 0.085), (0.8, -1.0, -0.1)),
}


def _reach(rng: Rng, pose: Pose, build: Build, side: str, target: tuple, spread: float) -> None:
    mirrored = np.array([SIGN[side], 1, 1])
    wrist = np.array(target[0]) + rng.normal(0, spread, 3)
    wrist[2] += np.sign(wrist[2]) * 0.025 * build.belly
    reach(pose, build, side, wrist * mirrored, np.array(target[1]) * mirrored)


def _pair_of_arms(rng: Rng, pose: Pose, build: Build) -> None:
    name = list(_PAIRS)[rng.integers(len(_PAIRS))]
    over = SIDES[rng.integers(2)]
    for side in SIDES:
        position, pole = _PAIRS[name]
        if name == "crossed" and side == over:  # one forearm lies on the other
            position = (position[0], position[1] + 0.02, position[2] + 0.03)
        _reach(rng, pose, build, side, (position, pole), 0.008 if name == "crossed" else 0.018)


def _single_arm(rng: Rng, pose: Pose, build: Build, side: str) -> None:
    kind = rng.random()
    if kind < 0.5 and pose.seated:
        _reach(rng, pose, build, side, _LAP, 0.02)
    elif kind < 0.5:
        set_arm(pose, side, rng.normal(3, 12), rng.uniform(3, 16), rng.normal(0, 15), abs(rng.normal(12, 14)))
    elif kind < 0.68:
        set_arm(pose, side, rng.uniform(-20, 60), rng.uniform(25, 120), rng.normal(0, 30), abs(rng.normal(20, 35)))
    else:
        name = list(_ONE_HAND)[rng.integers(len(_ONE_HAND))]
        _reach(rng, pose, build, side, _ONE_HAND[name], 0.02)
