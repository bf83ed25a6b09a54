"""The baseline that looks at no pixel: the training people's average pose, placed in the box."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from dag.annotation import PersonAnnotation
from dag.boxes import Box
from dag.errors import UserError
from dag.files import read_json, write_json
from dag.prediction import Prediction
from dag.skeleton import Skeleton


def fit_mean_pose(persons: Sequence[PersonAnnotation]) -> Float[np.ndarray, "J 2"]:
    """Mean place of every joint in units of the box: (0, 0) is its top left corner, (1, 1) the opposite one.

    Only labelled joints count, and no crowds; a joint that nobody has labelled is put in the middle.

    Raises:
        UserError: nobody has a labelled joint.
    """
    people = [person for person in persons if person.num_keypoints > 0 and not person.is_crowd]
    if not people:
        raise UserError("no mean pose", expected="people with keypoints", got=f"{len(persons)} rows without")
    boxes_xywh = np.stack([person.bbox_xywh for person in people])[:, None]
    labelled = np.stack([person.visibility > 0 for person in people])[..., None]
    box_xy = (np.stack([person.keypoints_xy for person in people]) - boxes_xywh[..., :2]) / boxes_xywh[..., 2:]
    count = labelled.sum(0)
    return np.where(count > 0, (box_xy * labelled).sum(0) / np.maximum(count, 1), 0.5)


def place_mean_pose(mean_pose: Float[np.ndarray, "J 2"], boxes: Sequence[Box]) -> list[Prediction]:
    """The mean pose in every box, as output "mean_pose" with joint scores of 1 and the box's score."""
    return [
        Prediction(
            output="mean_pose",
            image_id=box.image_id,
            person_id=box.person_id,
            keypoints_xy=box.bbox_xywh[:2] + mean_pose * box.bbox_xywh[2:],
            joint_scores=np.ones(len(mean_pose)),
            score=box.score,
        )
        for box in boxes
    ]


def write_mean_pose(path: str | Path, mean_pose: Float[np.ndarray, "J 2"], skeleton: Skeleton) -> None:
    """Write a mean pose as json, joint by joint."""
    write_json(path, {"skeleton": skeleton.name, "joints": dict(zip(skeleton.joints, mean_pose.tolist()))})


def read_mean_pose(path: str | Path, skeleton: Skeleton) -> Float[np.ndarray, "J 2"]:
    """Read a mean pose written by `write_mean_pose`.

    Raises:
        UserError: missing file, or the pose of another skeleton.
    """
    content = read_json(path)
    joints = content.get("joints") if isinstance(content, dict) else None
    if not isinstance(joints, dict) or list(joints) != list(skeleton.joints):
        expected, got = f"the joints of {skeleton.name}", list(joints) if isinstance(joints, dict) else joints
        raise UserError("not the mean pose of this skeleton", where=path, expected=expected, got=got)
    return np.array(list(joints.values()), dtype=np.float64)
