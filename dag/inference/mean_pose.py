"""Mean-pose baseline: the average training pose placed in the bounding box, without looking at the image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from dag.annotation import PersonAnnotation
from dag.boxes import Box, evaluated_persons
from dag.errors import UserError
from dag.files import read_json, write_json
from dag.prediction import Prediction
from dag.skeleton import Skeleton


def fit_mean_pose(persons: Sequence[PersonAnnotation]) -> Float[np.ndarray, "J 2"]:
    """Mean location of each joint in bounding-box units: (0, 0) is the top left corner, (1, 1) the bottom right one.

    Only labelled joints of persons that are not crowd regions count; a joint that is never labelled is at (0.5, 0.5).

    Raises:
        UserError: no person has a labelled joint.
    """
    labelled_persons = evaluated_persons(persons)
    if not labelled_persons:
        raise UserError("no mean pose", expected="persons with labelled joints", got=f"{len(persons)} without")
    boxes_xywh = np.stack([person.bbox_xywh for person in labelled_persons])[:, None]
    labelled = np.stack([person.visibility > 0 for person in labelled_persons])[..., None]
    image_xy = np.stack([person.keypoints_xy for person in labelled_persons])
    box_xy = (image_xy - boxes_xywh[..., :2]) / boxes_xywh[..., 2:]
    count = labelled.sum(0)
    return np.where(count > 0, (box_xy * labelled).sum(0) / np.maximum(count, 1), 0.5)


def place_mean_pose(mean_pose: Float[np.ndarray, "J 2"], boxes: Sequence[Box]) -> list[Prediction]:
    """The mean pose in each box, as output "mean_pose" with joint scores of 1 and the box's score."""
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
    """Write a mean pose as json: the skeleton's name, and x and y of each joint."""
    write_json(path, {"skeleton": skeleton.name, "joints": dict(zip(skeleton.joints, mean_pose.tolist()))})


def read_mean_pose(path: str | Path, skeleton: Skeleton) -> Float[np.ndarray, "J 2"]:
    """Read a mean pose written by `write_mean_pose`.

    Raises:
        UserError: missing file, or the mean pose of another skeleton.
    """
    content = read_json(path)
    joints = content.get("joints") if isinstance(content, dict) else None
    if not isinstance(joints, dict) or list(joints) != list(skeleton.joints):
        expected, got = f"the joints of {skeleton.name}", list(joints) if isinstance(joints, dict) else joints
        raise UserError("not the mean pose of this skeleton", where=path, expected=expected, got=got)
    return np.array(list(joints.values()), dtype=np.float64)
