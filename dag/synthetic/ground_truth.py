"""Exact ground truth of a rendered person: joints, their occluders, the instance mask; labels of the part map."""

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

# A joint is visible if one of these pieces covers it, at most this far (fraction of stature) in front of the joint.
_VISIBLE_ON = {
    "nose": (("nose", "head"), 0.02), "eye": (("head", "nose"), 0.014), "ear": (("ear", "head"), 0.022),
    "shoulder": (("torso", "upper_arm"), 0.075), "elbow": (("upper_arm", "lower_arm"), 0.05),
    "wrist": (("lower_arm", "hand"), 0.04), "hip": (("torso", "upper_leg", "skirt"), 0.10),
    "knee": (("upper_leg", "lower_leg", "skirt"), 0.075), "ankle": (("lower_leg", "foot"), 0.05),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Ground truth of one person.

    Attributes:
        joints_xy: COCO-17 joints in image pixels (pixel-index frame), also occluded ones and ones out of frame.
        occluder: `Occluder` number per joint, UNKNOWN for a visible joint.
        mask: visible pixels.
        occlusion_ratio: fraction of the silhouette inside the image that objects and other persons occlude.
        faces_camera: cosine of the angle between the chest's forward direction and the direction to the camera.
    """

    joints_xy: Float[np.ndarray, "17 2"]
    occluder: Int8[np.ndarray, "17"]
    mask: Bool[np.ndarray, "H W"]
    occlusion_ratio: float
    faces_camera: float


def person_ground_truth(camera: Camera, actor: Actor, composite: Composite, number: int) -> GroundTruth:
    """Ground truth of actor `number`, which is object `number` of the composite."""
    joints_xy, inverse_depth = camera.project(actor.body.joints)
    inside = inside_image(joints_xy, camera.width, camera.height) & (inverse_depth > 0)
    occluder = np.full(17, Occluder.FRAME, np.int8)
    for joint in np.flatnonzero(inside):
        depth = 1 / inverse_depth[joint]
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
    """The `Occluder` of a joint, from what is rendered at its pixel: another object, another person or the own body."""
    height, width = composite.pixel_object.shape
    column, row = int(np.clip(round(xy[0]), 0, width - 1)), int(np.clip(round(xy[1]), 0, height - 1))
    index = composite.pixel_object[row, column]
    if index == -1:  # the joint is on the silhouette's edge, and the pixel shows the background
        return int(Occluder.UNKNOWN)
    sample = composite.pixel_sample[0][row, column], composite.pixel_sample[1][row, column]
    sample_depth = 1 / composite.sample_inverse_depth[sample]
    if index != number:
        if sample_depth > depth:  # at the edge again: what is rendered there is farther away than the joint
            return int(Occluder.UNKNOWN)
        return int(Occluder.PERSON if composite.objects[index].outfit is not None else Occluder.OBJECT)
    piece = PIECES[composite.geometry.piece[composite.sample_face[sample]]]
    gap = depth - sample_depth
    side, _, part = joint.partition("_")
    pieces, reach = _VISIBLE_ON[part or joint]
    own = piece in pieces or any(piece == f"{side}_{name}" for name in pieces)
    return int(Occluder.UNKNOWN if own and gap < reach * stature else Occluder.SELF)
