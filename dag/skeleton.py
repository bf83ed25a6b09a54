"""Skeletons as data: joints, bones, left/right pairs, OKS sigmas, and what is derived from them."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from dag.errors import UserError

LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
"""Suffixes of the names of limb joints, from the shoulder down the arm and from the hip down the leg."""

LOWER_BODY = ("hip", "knee", "ankle")
"""Suffixes of the names of the joints of the lower body (HRNet's `lower_body_ids`, lib/dataset/coco.py)."""

TORSO = ("left_shoulder", "right_hip")
"""The joints whose distance is the torso length of PCK@0.2 (Leeds Sports Pose)."""

TORSO_OUTLINE = ("left_shoulder", "right_shoulder", "right_hip", "left_hip")
"""The corners of the torso, in order round it."""


@dataclass(frozen=True)
class Skeleton:
    """The joints of a data set.

    Attributes:
        name: key in `SKELETONS`, or the name of a user-defined skeleton.
        joints: joint names; their order is the order of every `[J, ...]` array.
        pairs: (left, right) names that are swapped in a mirrored image.
        bones: (name, name) edges, undirected.
        sigmas: per-joint OKS constants, in units of the square root of the person's area.

    Raises:
        UserError: not one sigma per joint, an unknown joint in a pair or bone, or a duplicate joint.
    """

    name: str
    joints: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    bones: tuple[tuple[str, str], ...]
    sigmas: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.sigmas) != len(self.joints):
            raise UserError("wrong number of sigmas", where=self.name, expected=len(self.joints), got=len(self.sigmas))
        unknown = {name for pair in (*self.pairs, *self.bones) for name in pair} - set(self.joints)
        if unknown:
            raise UserError("unknown joint", where=self.name, expected=self.joints, got=sorted(unknown))
        if len(set(self.joints)) != len(self.joints):
            raise UserError("duplicate joint", where=self.name, expected="unique names", got=self.joints)

    def __len__(self) -> int:
        return len(self.joints)

    @cached_property
    def bone_index(self) -> Int[np.ndarray, "E 2"]:
        """Bones as pairs of joint indices."""
        index = [[self.joints.index(a), self.joints.index(b)] for a, b in self.bones]
        return np.array(index, dtype=int).reshape(-1, 2)

    @cached_property
    def flip_index(self) -> Int[np.ndarray, " J"]:
        """Joint order of a mirrored image: `keypoints[flip_index]` swaps left and right joints."""
        index = np.arange(len(self))
        for left, right in self.pairs:
            i, j = self.joints.index(left), self.joints.index(right)
            index[[i, j]] = index[[j, i]]
        return index

    @cached_property
    def hops(self) -> Int[np.ndarray, "J J"]:
        """Number of bones on the shortest path between two joints; -1 for unconnected joints."""
        hops = np.full((len(self), len(self)), -1)
        np.fill_diagonal(hops, 0)
        adjacency = np.zeros(hops.shape, dtype=bool)
        adjacency[tuple(self.bone_index.T)] = adjacency[tuple(self.bone_index.T[::-1])] = True
        reached = np.eye(len(self), dtype=bool)
        for hop in range(1, len(self)):
            new = (reached @ adjacency) & (hops < 0)
            hops[new] = hop
            reached = new
        return hops

    @cached_property
    def is_limb(self) -> Bool[np.ndarray, " J"]:
        """True for the joints whose names end in one of `LIMBS`."""
        return np.array([joint.endswith(LIMBS) for joint in self.joints])

    @cached_property
    def is_lower_body(self) -> Bool[np.ndarray, " J"]:
        """True for the joints whose names end in one of `LOWER_BODY`."""
        return np.array([joint.endswith(LOWER_BODY) for joint in self.joints])

    @property
    def text(self) -> str:
        """The text that files store: the name of a known skeleton, else a json description. See `get_skeleton`."""
        return self.name if SKELETONS.get(self.name) == self else json.dumps(asdict(self))

    @property
    def sigma_array(self) -> Float[np.ndarray, " J"]:
        """OKS sigmas as float64."""
        return np.array(self.sigmas)


_LIMB_PAIRS = tuple((f"left_{part}", f"right_{part}") for part in LIMBS)
_LIMB_BONES = tuple(
    (f"{side}_{a}", f"{side}_{b}")
    for side in ("left", "right")
    for a, b in (("ankle", "knee"), ("knee", "hip"), ("hip", "shoulder"), ("shoulder", "elbow"), ("elbow", "wrist"))
) + (("left_hip", "right_hip"), ("left_shoulder", "right_shoulder"))

# Joints, bones and sigmas: COCO person_keypoints categories and pycocotools.cocoeval.Params.setKpParams.
COCO17 = Skeleton(
    name="coco17",
    joints=(
        "nose", "left_eye", "right_eye", "left_ear", "right_ear",
        *(joint for pair in _LIMB_PAIRS for joint in pair),
    ),
    pairs=(("left_eye", "right_eye"), ("left_ear", "right_ear"), *_LIMB_PAIRS),
    bones=(
        *_LIMB_BONES,
        ("left_eye", "right_eye"), ("nose", "left_eye"), ("nose", "right_eye"),
        ("left_eye", "left_ear"), ("right_eye", "right_ear"),
        ("left_ear", "left_shoulder"), ("right_ear", "right_shoulder"),
    ),
    sigmas=(
        0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062,
        0.107, 0.107, 0.087, 0.087, 0.089, 0.089,
    ),
)  # fmt: skip

# CrowdPose (Li et al., CVPR 2019); sigmas as in its authors' crowdposetools.
CROWDPOSE14 = Skeleton(
    name="crowdpose14",
    joints=(*(joint for pair in _LIMB_PAIRS for joint in pair), "head", "neck"),
    pairs=_LIMB_PAIRS,
    bones=(*_LIMB_BONES, ("head", "neck"), ("neck", "left_shoulder"), ("neck", "right_shoulder")),
    sigmas=(
        0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089, 0.079, 0.079,
    ),
)  # fmt: skip

SKELETONS = {skeleton.name: skeleton for skeleton in (COCO17, CROWDPOSE14)}


def get_skeleton(text: str) -> Skeleton:
    """Skeleton from its name or its json description (see `Skeleton.text`).

    Raises:
        UserError: unknown name (the known ones are listed) or invalid description.
    """
    if text in SKELETONS:
        return SKELETONS[text]
    if not text.startswith("{"):
        raise UserError("unknown skeleton", expected=f"one of {', '.join(SKELETONS)}", got=repr(text))
    try:
        fields: dict[str, Any] = json.loads(text)
        return Skeleton(**{name: _frozen(value) for name, value in fields.items()})
    except (TypeError, json.JSONDecodeError) as error:
        raise UserError("not a skeleton", got=f"{text[:60]} ({error})") from None


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
