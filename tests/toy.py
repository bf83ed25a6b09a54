"""Random annotations and predictions for tests of evaluation and prediction."""

import numpy as np

from dag.annotation import PersonAnnotation
from dag.prediction import Prediction
from dag.skeleton import Skeleton


def people(skeleton: Skeleton, count: int, seed: int = 0, first_id: int = 1) -> list[PersonAnnotation]:
    """Annotations of persons of random size with random visibility, two per image."""
    rng = np.random.default_rng(seed)
    joints = len(skeleton)
    persons = []
    for number in range(count):
        left, top = rng.uniform(0, 200, 2)
        width, height = rng.uniform(20, 200, 2)
        visibility = rng.integers(0, 3, joints).astype(np.int8)
        xy = np.array([left, top]) + rng.random((joints, 2)) * [width, height]
        persons.append(
            PersonAnnotation(
                dataset="toy",
                split="val",
                image_id=number // 2,
                image_path=f"{number // 2}.jpg",
                image_width=400,
                image_height=400,
                person_id=first_id + number,
                bbox_xywh=np.array([left, top, width, height]),
                area=0.5 * width * height,
                is_crowd=False,
                keypoints_xy=np.where(visibility[:, None] > 0, xy, 0.0),
                visibility=visibility,
                visibility_source=(visibility > 0).astype(np.int8),
                occluder=np.zeros(joints, dtype=np.int8),
            )
        )
    return persons


def predict(persons: list[PersonAnnotation], error: float, seed: int = 0) -> list[Prediction]:
    """The ground truth with Gaussian errors, whose standard deviation is random, at most `error` x the box's size."""
    rng = np.random.default_rng(seed)
    return [
        Prediction(
            output="heatmap",
            image_id=person.image_id,
            person_id=person.person_id,
            keypoints_xy=person.keypoints_xy
            + rng.normal(0, error * rng.random(), person.keypoints_xy.shape) * person.bbox_xywh[2:],
            joint_scores=rng.random(len(person.keypoints_xy)),
            score=float(rng.random()),
        )
        for person in persons
    ]
