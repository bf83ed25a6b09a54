"""Ground truth and results as arrays, which all metrics are computed from."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from dag.annotation import PersonAnnotation
from dag.prediction import Prediction, outputs_of
from dag.skeleton import Skeleton


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """P annotated persons, in any order; image pixels.

    Attributes:
        image_ids: unique ids of all evaluated images, including images without persons.
        image_id, person_id: of each person.
        keypoints_xy, visibility: joints; `Visibility` numbers.
        area: square pixels, the scale of OKS.
        bbox_xywh: left, top, width, height.
        is_crowd: whether the annotation is a crowd region.
        num_keypoints: the annotation's own number; persons with 0 are not evaluated.
        source: `Source` numbers of the visibility labels.
        occluder: `Occluder` numbers, exact ones where the data set has them.
        crowd_index: CrowdPose's crowdIndex of the image; NaN where unknown.
        max_iou: OCHuman's MaxIoU of the person; NaN where unknown.
    """

    image_ids: Int[np.ndarray, " I"]
    image_id: Int[np.ndarray, " P"]
    person_id: Int[np.ndarray, " P"]
    keypoints_xy: Float[np.ndarray, "P J 2"]
    visibility: Int8[np.ndarray, "P J"]
    area: Float[np.ndarray, " P"]
    bbox_xywh: Float[np.ndarray, "P 4"]
    is_crowd: Bool[np.ndarray, " P"]
    num_keypoints: Int[np.ndarray, " P"]
    source: Int8[np.ndarray, "P J"]
    occluder: Int8[np.ndarray, "P J"]
    crowd_index: Float[np.ndarray, " P"]
    max_iou: Float[np.ndarray, " P"]

    def __len__(self) -> int:
        return len(self.image_id)

    @property
    def evaluated(self) -> Bool[np.ndarray, " P"]:
        """Whether a person is evaluated: at least one labelled joint, and not a crowd region."""
        return ~self.is_crowd & (self.num_keypoints > 0)


@dataclass(frozen=True, eq=False)
class Results:
    """D predicted poses of one output, in any order; image pixels.

    Attributes:
        image_id: of each pose.
        person_id: the annotated person whose box was used; -1 for a detector's box.
        keypoints_xy, joint_scores: joints.
        score: of the pose.
    """

    image_id: Int[np.ndarray, " D"]
    person_id: Int[np.ndarray, " D"]
    keypoints_xy: Float[np.ndarray, "D J 2"]
    joint_scores: Float[np.ndarray, "D J"]
    score: Float[np.ndarray, " D"]

    def __len__(self) -> int:
        return len(self.image_id)

    def take(self, index: Int[np.ndarray, " n"] | Bool[np.ndarray, " D"]) -> "Results":
        """Results selected by `index`, in its order."""
        return replace(self, **{field.name: getattr(self, field.name)[index] for field in fields(self)})


def ground_truth_of(
    persons: Sequence[PersonAnnotation], skeleton: Skeleton, image_ids: Sequence[int] = ()
) -> GroundTruth:
    """Annotations as arrays; `image_ids`: further evaluated images, which may have no persons."""
    joints = len(skeleton)
    image_id = np.array([person.image_id for person in persons], dtype=np.int64)
    occluders = [p.occluder if p.gt_occluder is None else p.gt_occluder for p in persons]
    visibility = np.array([person.visibility for person in persons], dtype=np.int8).reshape(-1, joints)
    return GroundTruth(
        image_ids=np.unique(np.concatenate([image_id, np.array(image_ids, dtype=np.int64)])),
        image_id=image_id,
        person_id=np.array([person.person_id for person in persons], dtype=np.int64),
        keypoints_xy=np.array([person.keypoints_xy for person in persons], dtype=np.float64).reshape(-1, joints, 2),
        visibility=visibility,
        area=np.array([person.area for person in persons], dtype=np.float64),
        bbox_xywh=np.array([person.bbox_xywh for person in persons], dtype=np.float64).reshape(-1, 4),
        is_crowd=np.array([person.is_crowd for person in persons], dtype=bool),
        num_keypoints=(visibility > 0).sum(1),
        source=np.array([person.visibility_source for person in persons], dtype=np.int8).reshape(-1, joints),
        occluder=np.array(occluders, dtype=np.int8).reshape(-1, joints),
        crowd_index=_or_nan([person.crowd_index for person in persons]),
        max_iou=_or_nan([person.max_iou for person in persons]),
    )


def results_of(predictions: Sequence[Prediction], skeleton: Skeleton) -> Results:
    """Predictions of one output as arrays."""
    joints = len(skeleton)
    return Results(
        image_id=np.array([p.image_id for p in predictions], dtype=np.int64),
        person_id=np.array([p.person_id for p in predictions], dtype=np.int64),
        keypoints_xy=np.array([p.keypoints_xy for p in predictions], dtype=np.float64).reshape(-1, joints, 2),
        joint_scores=np.array([p.joint_scores for p in predictions], dtype=np.float64).reshape(-1, joints),
        score=np.array([p.score for p in predictions], dtype=np.float64),
    )


def results_by_output(predictions: Sequence[Prediction], skeleton: Skeleton) -> dict[str, Results]:
    """Predictions as arrays, by output."""
    return {output: results_of(poses, skeleton) for output, poses in outputs_of(predictions).items()}


def _or_nan(values: list[float | None]) -> Float[np.ndarray, " n"]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
