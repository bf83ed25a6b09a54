"""How good relabelling is: occluded joints whose place is known, occluded once more, and found again or not."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from dag.annotation import Occluder, PersonAnnotation
from dag.relabel.baselines import BASELINES
from dag.relabel.calibration import CHI_SQUARE, Calibration, Known, recovered
from dag.relabel.evaluated_proposals import is_recovered
from dag.relabel.evidence import Evidence
from dag.relabel.proposals import oks_units
from dag.skeleton import Skeleton

BINS = 10
"""Of the reliability plot."""


def recovery(
    judged: Sequence[PersonAnnotation], learned: Sequence[PersonAnnotation], evidence: Evidence, skeleton: Skeleton
) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """Metrics and plots of the joints with visibility 1 of `judged`, all of a person's occluded at once.

    Args:
        judged: people of the val split.
        learned: those that the evidence was learned from; the baselines learn from them too.

    Returns:
        Metrics: `joints`; `judged_on_learned`: there was no train split, so the metrics flatter; for `ours`,
        `nearest_joint` and `mean_pose` the share within OKS .5 and .75 (`OKS50`, `OKS75`) and the median error in box
        sizes; `region90`, the share of truths in the stated 90 % regions; `by` joint and occluder. Plots:
        `reliability`, `joints`.
    """
    found = list(recovered(judged, evidence.prior, evidence.models, evidence.errors, skeleton))
    if not found:
        return {"joints": 0}, {"reliability": [], "joints": []}
    distances = {"ours": np.array([one.distance for one in found])}
    units = np.array([oks_units(one.person, skeleton)[one.joint] for one in found])
    for name, fit in BASELINES.items():
        guess = fit(learned, skeleton)
        away = [guess(one.person, one.joint) - one.person.keypoints_xy[one.joint] for one in found]
        distances[name] = np.linalg.norm(away, axis=1) / units
    sizes = units / np.array([max(float(one.person.bbox_xywh[2:].max()), 1e-9) for one in found])
    taught = {(person.split, person.person_id) for person in learned}
    own = any((one.person.split, one.person.person_id) in taught for one in found)
    metrics: dict[str, Any] = {"joints": len(found), "judged_on_learned": own}
    metrics |= {name: _metrics(away, away * sizes) for name, away in distances.items()}
    stated = np.array([evidence.calibration.uncertainty(one.proposal, one.group) for one in found])
    metrics["region90"] = float((distances["ours"] <= stated * np.sqrt(CHI_SQUARE)).mean())
    masks = {f"joint_{name}": np.array([one.joint == j for one in found]) for j, name in enumerate(skeleton.joints)}
    masks |= {
        f"occluded_by_{kind.name.lower()}": np.array([_occluder(one) == kind for one in found]) for kind in Occluder
    }
    by = {name: _strata(distances, mask) for name, mask in masks.items() if mask.any()}
    metrics["by"] = by
    plots = {"reliability": reliability(found, evidence.calibration), "joints": _joint_rows(by)}
    return metrics, plots


def _occluder(one: Known) -> Occluder:
    known = one.person.occluder if one.person.gt_occluder is None else one.person.gt_occluder
    return Occluder(int(known[one.joint]))


def _metrics(away: Float[np.ndarray, " n"], boxes: Float[np.ndarray, " n"]) -> dict[str, float]:
    return {
        "OKS50": float(np.mean([is_recovered(one) for one in away])),
        "OKS75": float(np.mean([is_recovered(one, 0.75) for one in away])),
        "median_error": float(np.median(boxes)),
    }


def _strata(distances: Mapping[str, Float[np.ndarray, " n"]], mask: Bool[np.ndarray, " n"]) -> dict[str, float | int]:
    shares = {name: float(np.mean([is_recovered(one) for one in away[mask]])) for name, away in distances.items()}
    return {"joints": int(mask.sum()), **shares}


def _joint_rows(by: Mapping[str, Mapping[str, float | int]]) -> list[dict[str, Any]]:
    return [
        {"joint": name.removeprefix("joint_"), "by": way, "OKS50": values[way], "joints": values["joints"]}
        for name, values in by.items()
        if name.startswith("joint_")
        for way in ("ours", *BASELINES)
    ]


def reliability(found: Iterable[Known], calibration: Calibration) -> list[dict[str, Any]]:
    """Stated confidence and what came true, in bins of equally many joints."""
    pairs = sorted((calibration.confidence(one.proposal, one.group), is_recovered(one.distance)) for one in found)
    bins = [part for part in np.array_split(np.array(pairs, dtype=float), BINS) if len(part)]
    return [{"stated": float(b[:, 0].mean()), "observed": float(b[:, 1].mean()), "joints": len(b)} for b in bins]
