"""What is true of a person in an image: joints, who hides them, the mask, the parts."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int8

from dag.annotation import Occluder
from dag.body.template import PIECES
from dag.geometry import inside_image
from dag.skeleton import COCO17
from dag.synthetic.camera import Camera
from dag.synthetic.layers import Composite
from dag.synthetic.scene import Actor

# Labels of the part map. Left is the person's own left; a skirt is upper leg, a hat is hair, the neck is torso.
PARTS = (
    "background", "hair", "face", "torso",
    *(f"{side}_{part}" for part in ("upper_arm", "lower_arm", "hand", "upper_leg", "lower_leg", "foot")
      for side in ("left", "right")),
)  # fmt: skip
_OTHER_PARTS = {"head": "face", "nose": "face", "left_ear": "face", "right_ear": "face", "brim": "hair"}
PART_OF_PIECE = np.array(
    [PARTS.index("left_upper_leg" if name == "skirt" else _OTHER_PARTS.get(name, name)) for name in PIECES], np.uint8
)

# Where a joint counts as seen: on which pieces, and at most how far (in stature) its surface lies in front of it.
_ON = {
    "nose": (("nose", "head"), 0.02), "eye": (("head", "nose"), 0.014), "ear": (("ear", "head"), 0.022),
    "shoulder": (("torso", "upper_arm"), 0.075), "elbow": (("upper_arm", "lower_arm"), 0.05),
    "wrist": (("lower_arm", "hand"), 0.04), "hip": (("torso", "upper_leg", "skirt"), 0.10),
    "knee": (("upper_leg", "lower_leg", "skirt"), 0.075), "ankle": (("lower_leg", "foot"), 0.05),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """One person.

    Attributes:
        joints_xy: COCO-17 joints in image pixels (pixel-index frame), also occluded ones and ones out of frame.
        occluder: `Occluder` numbers: what hides a joint, UNKNOWN for a visible one.
        mask: visible pixels.
        occlusion_ratio: share of the silhouette inside the image that objects and other people hide.
        faces_camera: cosine between the way the chest faces and the way to the camera.
    """

    joints_xy: Float[np.ndarray, "17 2"]
    occluder: Int8[np.ndarray, "17"]
    mask: Bool[np.ndarray, "H W"]
    occlusion_ratio: float
    faces_camera: float


def person_ground_truth(camera: Camera, actor: Actor, composite: Composite, number: int) -> GroundTruth:
    """The ground truth of actor `number`, which is thing `number` of the composite."""
    joints_xy, nearness = camera.project(actor.body.joints)
    inside = inside_image(joints_xy, camera.width, camera.height) & (nearness > 0)
    occluder = np.full(17, Occluder.FRAME, np.int8)
    for joint in np.flatnonzero(inside):
        depth = 1 / nearness[joint]
        occluder[joint] = _occluder(
            joints_xy[joint], depth, COCO17.joints[joint], actor.build.stature, composite, number
        )
    return GroundTruth(joints_xy, occluder, composite.mask(number), composite.occlusion_ratio(number), _facing(actor))


def _facing(actor: Actor) -> float:
    left, right = (actor.body.joints[COCO17.joints.index(f"{side}_shoulder")] for side in ("left", "right"))
    hips = actor.body.joints[[COCO17.joints.index(f"{side}_hip") for side in ("left", "right")]].mean(0)
    ahead = np.cross(left - right, (left + right) / 2 - hips)
    to_camera = -actor.body.joints.mean(0) * [1, 0, 1]
    return float(ahead @ to_camera / np.linalg.norm(ahead) / np.linalg.norm(to_camera))


def _occluder(
    xy: Float[np.ndarray, "2"], depth: float, joint: str, stature: float, composite: Composite, number: int
) -> int:
    """What is seen at the joint's pixel, against where the joint's own surface would be."""
    height, width = composite.owner.shape
    column, row = int(np.clip(round(xy[0]), 0, width - 1)), int(np.clip(round(xy[1]), 0, height - 1))
    owner = composite.owner[row, column]
    if owner == -1:  # a joint on the very rim of the body
        return int(Occluder.UNKNOWN)
    if owner != number:
        seen_depth = 1 / composite.fine_nearness[composite.sub[0][row, column], composite.sub[1][row, column]]
        if seen_depth > depth:  # rim again: what is seen lies behind
            return int(Occluder.UNKNOWN)
        return int(Occluder.PERSON if composite.things[owner].outfit is not None else Occluder.OBJECT)
    fine_row, fine_column = composite.sub[0][row, column], composite.sub[1][row, column]
    piece = PIECES[composite.drawable.piece[composite.fine_face[fine_row, fine_column]]]
    gap = depth - 1 / composite.fine_nearness[fine_row, fine_column]
    side, _, part = joint.partition("_")
    pieces, reach = _ON[part or joint]
    own = piece in pieces or any(piece == f"{side}_{name}" for name in pieces)
    return int(Occluder.UNKNOWN if own and gap < reach * stature else Occluder.SELF)
