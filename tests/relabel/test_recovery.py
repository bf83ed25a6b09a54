"""Recovery of occluded joints, compared with the baselines."""

from dataclasses import replace

from dag.relabel.evidence import fit_evidence
from dag.relabel.recovery import recovery
from dag.skeleton import COCO17
from tests.relabel.poses import random_persons


def test_proposals_beat_the_baselines_and_regions_hold_the_stated_fraction() -> None:
    fitted_on, evaluated = random_persons(900, 10), random_persons(300, 11)
    evidence = fit_evidence([replace(person, split="train") for person in fitted_on], [], COCO17, seed=1)
    metrics, plots = recovery(evaluated, fitted_on, evidence, COCO17)
    best = max(metrics["nearest_joint"]["OKS50"], metrics["mean_pose"]["OKS50"])
    assert metrics["ours"]["OKS50"] > best + 0.02
    assert 0.85 <= metrics["region90"] <= 0.95
    assert metrics["joints"] == sum(int((person.visibility == 1).sum()) for person in evaluated)
    assert sum(row["joints"] for row in plots["reliability"]) == metrics["joints"]
    assert all(abs(row["stated"] - row["observed"]) < 0.2 for row in plots["reliability"])
    assert {row["by"] for row in plots["joints"]} == {"ours", "nearest_joint", "mean_pose"}
    assert recovery([], fitted_on, evidence, COCO17)[0] == {"joints": 0}
