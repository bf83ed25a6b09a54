"""Standing persons with randomly rotated limbs, for the tests of priors, calibration and recovery."""

from dataclasses import replace

import numpy as np

from dag.annotation import PersonAnnotation
from tests.standing import JOINTS, standing

PARENT = {7: 5, 9: 7, 8: 6, 10: 8, 13: 11, 15: 13, 14: 12, 16: 14}
"""Limb joint to the joint that it rotates around."""


def random_persons(count: int, seed: int, *, occluded: float = 0.2, unlabelled: float = 0.0) -> list[PersonAnnotation]:
    """Persons of random size and location; each joint is occluded or unlabelled with the given probabilities."""
    rng, persons = np.random.default_rng(seed), []
    base = standing(1, 60)
    for number in range(count):
        xy = JOINTS.copy()
        for joint, parent in PARENT.items():
            angle = rng.normal(0, 0.5)
            rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            xy[joint] = xy[parent] + rotation @ (JOINTS[joint] - JOINTS[parent])
        size = rng.uniform(0.5, 3)
        xy = xy * size + rng.uniform(0, 300, 2)
        draw = rng.random(17)
        visibility = np.where(draw < unlabelled, 0, np.where(draw < unlabelled + occluded, 1, 2)).astype(np.int8)
        box = np.concatenate([xy.min(0), np.ptp(xy, axis=0)])
        changes = {
            "person_id": number,
            "image_id": number,
            "visibility": visibility,
            "keypoints_xy": xy,
            "bbox_xywh": box,
        }
        persons.append(replace(base, **changes, area=base.area * size**2, image_width=2000, image_height=2000))
    return persons
