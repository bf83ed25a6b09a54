"""Anthropometry: bones, segment lengths, joint limits, and random body builds.

Body frame: x to the person's own left, y up, z forward; canonical units are fractions of stature, the ground is y = 0.
Rest pose: upright, arms and legs straight down, palms inward.

Heights and lengths: Drillis & Contini, Body Segment Parameters, TR 1166-03, New York University, 1966, as drawn in
Winter, Biomechanics and Motor Control of Human Movement, 4th ed. 2009, fig. 4.1. Ranges of motion: Norkin & White,
Measurement of Joint Motion, 5th ed. 2016, appendix.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

HIP_HEIGHT, KNEE_HEIGHT, ANKLE_HEIGHT = 0.530, 0.285, 0.039
SHOULDER_HEIGHT, ELBOW_HEIGHT, WRIST_HEIGHT = 0.818, 0.632, 0.486
CHIN_HEIGHT, EYE_HEIGHT = 0.870, 0.936
FOOT_LENGTH, FOOT_BREADTH, HAND_LENGTH = 0.152, 0.055, 0.108
SHOULDER_X, HIP_X = 0.108, 0.052  # joint centres; the source's breadths (0.259, 0.191) are measured at the skin


def _limbs(side: str, sign: int) -> list[tuple[str, str, tuple[float, float, float]]]:
    shoulder, hip = sign * SHOULDER_X, sign * HIP_X
    return [
        (f"{side}_collar", "chest", (sign * 0.02, 0.805, 0.0)),
        (f"{side}_upper_arm", f"{side}_collar", (shoulder, SHOULDER_HEIGHT - 0.012, -0.004)),
        (f"{side}_lower_arm", f"{side}_upper_arm", (shoulder, ELBOW_HEIGHT - 0.012, -0.004)),
        (f"{side}_hand", f"{side}_lower_arm", (shoulder, WRIST_HEIGHT - 0.012, -0.004)),
        (f"{side}_upper_leg", "pelvis", (hip, HIP_HEIGHT, 0.0)),
        (f"{side}_lower_leg", f"{side}_upper_leg", (hip, KNEE_HEIGHT, 0.0)),
        (f"{side}_foot", f"{side}_lower_leg", (hip, ANKLE_HEIGHT, 0.0)),
    ]


_BONES = [
    ("pelvis", "pelvis", (0.0, HIP_HEIGHT, 0.0)),
    ("spine", "pelvis", (0.0, 0.600, -0.005)),
    ("chest", "spine", (0.0, 0.690, -0.012)),
    ("neck", "chest", (0.0, 0.840, -0.006)),
    ("head", "neck", (0.0, 0.880, 0.0)),
    *_limbs("left", 1),
    *_limbs("right", -1),
]

BONES = tuple(name for name, _, _ in _BONES)
BONE = {name: number for number, name in enumerate(BONES)}
PARENTS = tuple(BONE[parent] for _, parent, _ in _BONES)
CANONICAL: Float[np.ndarray, "B 3"] = np.array([xyz for _, _, xyz in _BONES])

# Degrees, (minimum, maximum): flexion is forward, abduction away from the body, knee and elbow are 0 when straight.
LIMITS = {
    "shoulder_flexion": (-55.0, 175.0),
    "shoulder_abduction": (-15.0, 175.0),
    "shoulder_twist": (-70.0, 85.0),
    "elbow": (0.0, 145.0),
    "hip_flexion": (-20.0, 120.0),
    "hip_abduction": (-20.0, 45.0),
    "hip_twist": (-40.0, 45.0),
    "knee": (0.0, 140.0),
    "ankle": (-45.0, 20.0),
    "spine_flexion": (-25.0, 70.0),
    "neck_turn": (-65.0, 65.0),
}


@dataclass(frozen=True, eq=False)
class Build:
    """Measurements of one body.

    Attributes:
        stature: metres.
        scale: metres per canonical unit along x (girth), y (length) and z (girth), per bone.
        joints: rest positions of the bones' joints, in metres.
        shoulders, hips: breadth of the torso's upper and lower half, relative to the average.
        belly: girth of the waist, 0 (slim) to 1 (stout).
        bust: size of the bust, 0 to 1.
    """

    stature: float
    scale: Float[np.ndarray, "B 3"]
    joints: Float[np.ndarray, "B 3"]
    shoulders: float
    hips: float
    belly: float
    bust: float


def random_build(rng: np.random.Generator) -> Build:
    """A random build: with probability 0.14 a child of 1.0 to 1.4 m, otherwise an adult of 1.5 to 1.95 m."""
    child = rng.random() < 0.14
    female = rng.random()
    stature = rng.uniform(1.0, 1.4) if child else np.clip(rng.normal(1.77 - 0.13 * female, 0.06), 1.5, 1.95)
    stout = np.clip(rng.normal(0.25, 0.28), 0, 1)
    girth = 0.92 + 0.26 * stout + rng.normal(0, 0.03)
    scale = np.ones((len(BONES), 3)) * [girth, 1, girth]
    for part, spread in (("arm", 0.025), ("leg", 0.025), ("hand", 0.04), ("foot", 0.03)):
        limb = [number for name, number in BONE.items() if part in name]
        scale[limb, 1] *= np.clip(rng.normal(1, spread), 0.92, 1.08)
    scale[[BONE["neck"], BONE["head"]]] = [1 + 0.1 * stout, 1, 1 + 0.06 * stout]
    scale[[BONE[f"{side}_{end}"] for side in ("left", "right") for end in ("hand", "foot")], ::2] = 1 + 0.1 * stout
    if child:
        scale[BONE["head"]] *= 1.0 + 0.55 * (1.6 - stature)
        scale[[n for name, n in BONE.items() if "leg" in name], 1] *= 0.95
    scale *= stature
    shoulders = (0.95 if child else 1.05 - 0.12 * female) * np.clip(rng.normal(1, 0.03), 0.94, 1.06)
    hips = (0.95 if child else 0.96 + 0.1 * female) * np.clip(rng.normal(1, 0.03), 0.94, 1.06)
    joints = _rest_joints(scale, stature, shoulders * (0.93 + 0.07 * girth), hips * (0.9 + 0.1 * girth))
    return Build(
        stature=float(stature),
        scale=scale,
        joints=joints,
        shoulders=float(shoulders),
        hips=float(hips),
        belly=float(stout),
        bust=0.0 if child else float(np.clip(2 * female - 1, 0, 1)),
    )


def _rest_joints(
    scale: Float[np.ndarray, "B 3"], stature: float, shoulders: float, hips: float
) -> Float[np.ndarray, "B 3"]:
    joints = CANONICAL * stature
    for bone, parent in enumerate(PARENTS):
        if bone != parent:
            offset = (CANONICAL[bone] - CANONICAL[parent]) * [stature, scale[parent, 1], stature]
            if BONES[bone].endswith("upper_arm"):
                offset[0] *= shoulders
            elif BONES[bone].endswith("upper_leg"):
                offset[0] *= hips
            joints[bone] = joints[parent] + offset
    return joints
