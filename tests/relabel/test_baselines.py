"""Baselines of relabelling: locations of occluded joints from the visible joints."""

from dataclasses import replace

import numpy as np

from dag.relabel.baselines import mean_pose, nearest_joint
from dag.skeleton import COCO17
from tests.relabel.poses import random_persons


def test_baselines_locate_a_rigid_joint() -> None:
    fitted_on = random_persons(300, 1, occluded=0)
    person = replace(random_persons(1, 2, occluded=0)[0], visibility=np.where(np.arange(17) == 1, 1, 2).astype(np.int8))
    for baseline in (nearest_joint, mean_pose):
        xy = baseline(fitted_on, COCO17)(person, 1)  # the left eye, near the nose, at a fixed offset
        assert np.linalg.norm(xy - person.keypoints_xy[1]) < 0.1 * np.sqrt(person.area)
