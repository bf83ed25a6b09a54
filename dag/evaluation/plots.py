"""What is drawn of results, as tables of flat records: DVC plots them, and so does the report."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from dag.evaluation.coco.arrays import GroundTruth, Results
from dag.evaluation.coco.average_precision import RECALLS, area_strata, curves_of, strata_precision
from dag.evaluation.coco.matching import THRESHOLDS, match, pair_up, persons_of_results
from dag.evaluation.coco.oks import oks
from dag.evaluation.diagnosis import Diagnosis, ErrorKind, diagnose, diagnosis_metrics
from dag.evaluation.strata import joint_strata, person_strata
from dag.files import whole_folder
from dag.skeleton import Skeleton

Table = list[dict[str, Any]]

OCCLUSION_RATIOS = {
    "occluded_none": "none",
    "occluded_third": "up to 1/3",
    "occluded_two_thirds": "up to 2/3",
    "occluded_most": "more",
}
"""Strata of people and how a chart calls the share of their joints that is occluded."""
OKS_BINS = np.linspace(0, 1, 21)
DIGITS = 5
"""Decimals that are kept: more than a chart shows, and few enough for files under version control."""


def plot_tables(gt: GroundTruth, results: Results, skeleton: Skeleton) -> dict[str, Table]:
    """Every table of this module, by the name of the function that makes it."""
    person_of = persons_of_results(gt, results, skeleton.sigma_array)
    return {
        "precision_recall": precision_recall(gt, results, skeleton),
        "occlusion": occlusion(gt, results, skeleton),
        "errors": errors(gt, diagnose(gt, results, person_of, skeleton), skeleton),
        "joints": joints(gt, results, person_of, skeleton),
        "oks": oks_histogram(person_oks(gt, results, person_of, skeleton)),
    }


def write_plots(folder: str | Path, gt: GroundTruth, results: Mapping[str, Results], skeleton: Skeleton) -> None:
    """Write each table as `<name>.json`, whole or not at all: a list of records with the field `output` first.

    Args:
        results: by output.
    """
    tables: dict[str, Table] = {}
    for output, found in results.items():
        for name, records in plot_tables(gt, found, skeleton).items():
            tables.setdefault(name, []).extend({"output": output, **record} for record in records)
    with whole_folder(folder) as partial:
        for name, records in tables.items():
            lines = ",\n".join(json.dumps(record, allow_nan=False) for record in records)
            (partial / f"{name}.json").write_text(f"[\n{lines}\n]\n")


def precision_recall(gt: GroundTruth, results: Results, skeleton: Skeleton) -> Table:
    """Precision at 101 recalls, people of all sizes: `OKS` (".50", ".75", "mean"), `recall`, `precision`.

    "mean" is over OKS of .50 to .95: the mean of its precisions is AP. Nobody to find: no record.
    """
    pairs = pair_up(gt, results, skeleton.sigma_array)
    counted, unmatched_counts = (strata[:1] for strata in area_strata(gt, results, pairs))
    if not counted.any():
        return []
    precision = curves_of(results, pairs, match(gt, pairs, counted, unmatched_counts), counted).precision[0]
    curves = {
        ".50": precision[THRESHOLDS == 0.5][0],
        ".75": precision[THRESHOLDS == 0.75][0],
        "mean": precision.mean(0),
    }
    return [
        {"OKS": level, "recall": round(float(recall), 2), "precision": round(float(value), DIGITS)}
        for level, curve in curves.items()
        for recall, value in zip(RECALLS, curve)
    ]


def occlusion(gt: GroundTruth, results: Results, skeleton: Skeleton) -> Table:
    """AP over the share of a person's joints that is occluded: `occluded` (of `OCCLUSION_RATIOS`), `AP`, `people`."""
    strata = {name: mask for name, mask in person_strata(gt).items() if name in OCCLUSION_RATIOS}
    metrics = strata_precision(gt, results, skeleton, strata)
    return [
        {"occluded": OCCLUSION_RATIOS[name], "AP": _rounded(found["AP"]), "instances": found["instances"]}
        for name, found in metrics.items()
    ]


def errors(gt: GroundTruth, diagnosis: Diagnosis, skeleton: Skeleton) -> Table:
    """Fraction of each `ErrorKind` in the strata visible, occluded and occluded_by_*.

    Records: `stratum`, `kind`, `order` (of the kind, good first), `share`, `count`, and `joints`, of which it is the
    share: those of people whom a result is about.
    """
    return [
        {
            "stratum": stratum.replace("_", " "),
            "kind": kind.name.lower(),
            "order": int(kind),
            "share": _rounded(metrics[kind.name.lower()]),
            "count": metrics[f"{kind.name.lower()}_joints"],
            "joints": metrics["joints"],
        }
        for stratum, metrics in diagnosis_metrics(gt, diagnosis, skeleton).items()
        if stratum.startswith(("visible", "occluded")) and metrics["joints"]
        for kind in ErrorKind
    ]


def joints(gt: GroundTruth, results: Results, person_of: Int[np.ndarray, " D"], skeleton: Skeleton) -> Table:
    """Each joint's mean `error` in units of sqrt(person area) and its `PCK`: `joint`, `error`, `PCK`, `joints`."""
    strata = joint_strata(gt, results, person_of, skeleton)
    return [
        {
            "joint": name.replace("_", " "),
            "error": _rounded(strata[f"joint_{name}"]["error"]),
            "PCK": _rounded(strata[f"joint_{name}"]["PCK"]),
            "joints": strata[f"joint_{name}"]["joints"],
        }
        for name in skeleton.joints
        if f"joint_{name}" in strata
    ]


def person_oks(
    gt: GroundTruth, results: Results, person_of: Int[np.ndarray, " D"], skeleton: Skeleton
) -> Float[np.ndarray, " P"]:
    """OKS of the result about each person; 0 where there is none, NaN for those whom nobody looks for."""
    similarity = np.where(gt.wanted, 0.0, np.nan)
    about = person_of >= 0
    person = person_of[about]
    found_xy, gt_xy, area = results.keypoints_xy[about], gt.keypoints_xy[person], gt.area[person]
    similarity[person] = oks(found_xy, gt_xy, gt.visibility[person], area, skeleton.sigma_array)
    return similarity


def oks_histogram(similarity: Float[np.ndarray, " P"]) -> Table:
    """How many `people` have an OKS between `low` and `high`, in 20 bins; the last one holds 1. NaN is left out."""
    people, _ = np.histogram(similarity[~np.isnan(similarity)], bins=OKS_BINS)
    return [
        {"low": round(float(low), 2), "high": round(float(high), 2), "instances": int(count)}
        for low, high, count in zip(OKS_BINS, OKS_BINS[1:], people)
    ]


def _rounded(value: float | int | None) -> float | None:
    return None if value is None else round(float(value), DIGITS)
