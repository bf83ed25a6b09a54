"""Calibration: errors of models, and confidence regions."""

import numpy as np
import pytest

from dag.relabel.calibration import CHI_SQUARE, calibrate, model_errors
from dag.relabel.evidence import Evidence
from dag.relabel.model_poses import ModelPoses
from dag.relabel.prior import fit_prior
from dag.relabel.proposals import oks_units
from dag.relabel.recovery import recovery
from dag.skeleton import COCO17
from tests.relabel.poses import random_persons


def test_a_model_s_error_is_measured_at_occluded_joints() -> None:
    rng, persons = np.random.default_rng(0), random_persons(200, 4, occluded=0.3)
    poses = {p.person_id: p.keypoints_xy + rng.normal(0, 0.7, (17, 2)) * oks_units(p, COCO17)[:, None] for p in persons}
    models = [ModelPoses("a", "", poses), ModelPoses("b", "", {})]
    assert model_errors(models, persons, COCO17) == {"a": pytest.approx(0.7, rel=0.08), "b": 1.0}
    errors = {"a": 0.2, "b": 1.0}  # an underestimate
    calibration = calibrate(persons, models, errors, COCO17, np.random.default_rng(0))
    prior = fit_prior(persons, COCO17, np.random.default_rng(0))
    evidence = Evidence(prior, models, errors, calibration)
    metrics, _ = recovery(persons, persons, evidence, COCO17)
    assert metrics["region90"] == pytest.approx(0.9, abs=0.03)


def test_confidence_region_holds_the_stated_fraction() -> None:
    sample = np.random.default_rng(0).normal(size=(20000, 2))
    assert ((sample**2).sum(1) <= CHI_SQUARE).mean() == pytest.approx(0.9, abs=0.01)
