"""Gaussian over poses, fitted to incompletely labelled persons."""

import numpy as np
import pytest

from dag.relabel.gaussian import fit_gaussian
from dag.skeleton import COCO17
from tests.relabel.poses import random_persons


def test_incomplete_poses_give_nearly_the_same_gaussian() -> None:
    complete, incomplete = random_persons(200, 3, occluded=0), random_persons(200, 3, occluded=0, unlabelled=0.4)
    one, other = fit_gaussian(complete, COCO17), fit_gaussian(incomplete, COCO17)
    assert one is not None
    assert other is not None
    assert np.abs(one[0] - other[0]).max() < 0.1
    assert one[2] == pytest.approx(other[2], rel=0.05)
    assert fit_gaussian(incomplete[:10], COCO17) is None
