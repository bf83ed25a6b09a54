"""Recovery: accuracy of proposals for occluded joints whose location is annotated, compared with baselines."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from dag.annotation import Occluder, PersonAnnotation
from dag.relabel.baselines import BASELINES
from dag.relabel.calibration import CHI_SQUARE, Calibration
from dag.relabel.evaluated_proposals import EvaluatedProposal, evaluated_proposals, is_recovered
from dag.relabel.evidence import Evidence
from dag.relabel.proposals import oks_units
from dag.skeleton import Skeleton

BINS = 10
"""Bins of the reliability plot."""


def recovery(
    persons: Sequence[PersonAnnotation],
    fitted_on: Sequence[PersonAnnotation],
    evidence: Evidence,
    skeleton: Skeleton,
) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """Metrics and plots of the joints of `persons` with visibility 1, proposed from the visible joints.

    Args:
        persons: evaluated persons, those of the val split.
        fitted_on: persons that the evidence was fitted on. The baselines are fitted on them too.

    Returns:
        Metrics: `joints`; `evaluated_on_fitted`, true where there was no train split, so the metrics are optimistic;
        for `ours`, `nearest_joint` and `mean_pose` the fractions within OKS .5 and .75 (`OKS50`, `OKS75`) and the
        median error over the longer side of the box; `region90`, the fraction of joints inside the stated 90 % regions;
        `strata`, the fraction within OKS .5 by joint and by occluder. Plots: `reliability`, `joints`.
    """
    proposals = list(evaluated_proposals(persons, evidence.prior, evidence.models, evidence.errors, skeleton))
    if not proposals:
        return {"joints": 0}, {"reliability": [], "joints": []}
    units = np.array([oks_units(one.person, skeleton)[one.joint] for one in proposals])
    distances = {"ours": np.array([one.distance for one in proposals])}
    distances |= _baseline_distances(proposals, units, fitted_on, skeleton)
    box_sizes = np.array([max(float(one.person.bbox_xywh[2:].max()), 1e-9) for one in proposals])
    fitted_ids = {(person.split, person.person_id) for person in fitted_on}
    overlap = any((one.person.split, one.person.person_id) in fitted_ids for one in proposals)
    metrics: dict[str, Any] = {"joints": len(proposals), "evaluated_on_fitted": overlap}
    metrics |= {
        name: _metrics(oks_distance, oks_distance * (units / box_sizes)) for name, oks_distance in distances.items()
    }
    stated = np.array([evidence.calibration.uncertainty(one.proposal, one.group) for one in proposals])
    metrics["region90"] = float((distances["ours"] <= stated * np.sqrt(CHI_SQUARE)).mean())
    metrics["strata"] = _strata(proposals, distances, skeleton)
    plots = {"reliability": reliability(proposals, evidence.calibration), "joints": _joint_plot(metrics["strata"])}
    return metrics, plots


def _baseline_distances(
    proposals: Sequence[EvaluatedProposal],
    units: Float[np.ndarray, " n"],
    fitted_on: Sequence[PersonAnnotation],
    skeleton: Skeleton,
) -> dict[str, Float[np.ndarray, " n"]]:
    """Distances of each baseline in OKS units."""
    distances = {}
    for name, fit in BASELINES.items():
        predict = fit(fitted_on, skeleton)
        offsets = [predict(one.person, one.joint) - one.person.keypoints_xy[one.joint] for one in proposals]
        distances[name] = np.linalg.norm(offsets, axis=1) / units
    return distances


def _metrics(oks_distance: Float[np.ndarray, " n"], box_distance: Float[np.ndarray, " n"]) -> dict[str, float]:
    return {
        "OKS50": _recovered_ratio(oks_distance),
        "OKS75": _recovered_ratio(oks_distance, 0.75),
        "median_error": float(np.median(box_distance)),
    }


def _recovered_ratio(oks_distance: Float[np.ndarray, " n"], oks: float = 0.5) -> float:
    return float(np.mean([is_recovered(one, oks) for one in oks_distance]))


def _strata(
    proposals: Sequence[EvaluatedProposal], distances: Mapping[str, Float[np.ndarray, " n"]], skeleton: Skeleton
) -> dict[str, dict[str, float | int]]:
    masks: dict[str, Bool[np.ndarray, " n"]] = {
        f"joint_{name}": np.array([one.joint == joint for one in proposals])
        for joint, name in enumerate(skeleton.joints)
    }
    occluders = [_occluder(one) for one in proposals]
    masks |= {f"occluded_by_{kind.name.lower()}": np.array([one == kind for one in occluders]) for kind in Occluder}
    return {
        stratum: {
            "joints": int(mask.sum()),
            **{name: _recovered_ratio(oks_distance[mask]) for name, oks_distance in distances.items()},
        }
        for stratum, mask in masks.items()
        if mask.any()
    }


def _occluder(one: EvaluatedProposal) -> Occluder:
    occluder = one.person.occluder if one.person.gt_occluder is None else one.person.gt_occluder
    return Occluder(int(occluder[one.joint]))


def _joint_plot(strata: Mapping[str, Mapping[str, float | int]]) -> list[dict[str, Any]]:
    return [
        {"joint": name.removeprefix("joint_"), "by": method, "OKS50": values[method], "joints": values["joints"]}
        for name, values in strata.items()
        if name.startswith("joint_")
        for method in ("ours", *BASELINES)
    ]


def reliability(proposals: Iterable[EvaluatedProposal], calibration: Calibration) -> list[dict[str, Any]]:
    """Stated confidence and observed fraction of recovered joints, in bins with equal numbers of joints."""
    pairs = sorted((calibration.confidence(one.proposal, one.group), is_recovered(one.distance)) for one in proposals)
    bins = [part for part in np.array_split(np.array(pairs, dtype=float), BINS) if len(part)]
    return [{"stated": float(b[:, 0].mean()), "observed": float(b[:, 1].mean()), "joints": len(b)} for b in bins]
