"""Joints, bones, left/right pairs and OKS sigmas, as data. Everything else about a skeleton is derived here."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from dag.errors import UserError


@dataclass(frozen=True)
class Skeleton:
    """What a data set's joints are.

    Attributes:
        name: key in `SKELETONS`, or the name of a skeleton of the user's own.
        joints: joint names; their order is the order of every `[J, ...]` array.
        pairs: (left, right) names that change places in a mirrored image.
        bones: (name, name) edges, undirected.
        sigmas: per-joint OKS constants, in units of sqrt(person area).
    """

    name: str
    joints: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    bones: tuple[tuple[str, str], ...]
    sigmas: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.sigmas) != len(self.joints):
            raise UserError("one sigma a joint", where=self.name, expected=len(self.joints), got=len(self.sigmas))
        unknown = {name for pair in (*self.pairs, *self.bones) for name in pair} - set(self.joints)
        if unknown:
            raise UserError("unknown joint", where=self.name, expected=self.joints, got=sorted(unknown))
        if len(set(self.joints)) != len(self.joints):
            raise UserError("one joint twice", where=self.name, expected="names of their own", got=self.joints)

    def __len__(self) -> int:
        return len(self.joints)

    @cached_property
    def bone_index(self) -> Int[np.ndarray, "E 2"]:
        """Bones as joint numbers."""
        index = [[self.joints.index(a), self.joints.index(b)] for a, b in self.bones]
        return np.array(index, dtype=int).reshape(-1, 2)

    @cached_property
    def flip_index(self) -> Int[np.ndarray, " J"]:
        """`keypoints[flip_index]` renames left to right and right to left."""
        index = np.arange(len(self))
        for left, right in self.pairs:
            i, j = self.joints.index(left), self.joints.index(right)
            index[[i, j]] = index[[j, i]]
        return index

    @cached_property
    def hops(self) -> Int[np.ndarray, "J J"]:
        """Number of bones on the shortest way between two joints; -1 where there is no way."""
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

    @property
    def text(self) -> str:
        """What files write of a skeleton, for `get_skeleton`: its name, or all of it where it is the user's own."""
        return self.name if SKELETONS.get(self.name) == self else json.dumps(asdict(self))

    @property
    def sigma_array(self) -> Float[np.ndarray, " J"]:
        """OKS sigmas as float64."""
        return np.array(self.sigmas)


_LIMB_PAIRS = tuple(
    (f"left_{part}", f"right_{part}") for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
)
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
    """The skeleton that `text` (see `Skeleton.text`) names or describes.

    Raises:
        UserError: unknown name, the known ones are listed; or a faulty description.
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
