"""Data of the plots of an `Evaluation`: tables of flat records, which DVC and the report draw."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from dag.evaluation.coco.average_precision import RECALLS
from dag.evaluation.coco.matching import THRESHOLDS
from dag.evaluation.diagnosis import ErrorKind
from dag.evaluation.evaluation import Evaluation
from dag.evaluation.metrics import person_stratum_metrics
from dag.files import whole_folder

Table = list[dict[str, Any]]

OCCLUSION_LABELS = {
    "occluded_none": "none",
    "occluded_third": "up to 1/3",
    "occluded_two_thirds": "up to 2/3",
    "occluded_most": "more",
}
"""Strata of persons by occlusion ratio, and their labels in plots."""
OKS_BINS = np.linspace(0, 1, 21)
DIGITS = 5
"""Number of decimals: more than a plot shows, and few enough for files under version control."""


def plot_tables(evaluation: Evaluation) -> dict[str, Table]:
    """Every plot's table, by the name of its file and template."""
    return {
        "precision_recall": precision_recall(evaluation),
        "occlusion": occlusion(evaluation),
        "errors": errors(evaluation),
        "joints": joints(evaluation),
        "oks": oks_histogram(evaluation.person_oks),
    }


def write_plots(folder: str | Path, evaluations: Mapping[str, Evaluation]) -> None:
    """Write each table to `<name>.json`, a list of records that begin with `output`; the folder appears atomically.

    Args:
        evaluations: by output.
    """
    tables: dict[str, Table] = {}
    for output, evaluation in evaluations.items():
        for name, records in plot_tables(evaluation).items():
            tables.setdefault(name, []).extend({"output": output, **record} for record in records)
    with whole_folder(folder) as partial:
        for name, records in tables.items():
            lines = ",\n".join(json.dumps(record, allow_nan=False) for record in records)
            (partial / f"{name}.json").write_text(f"[\n{lines}\n]\n")


def precision_recall(evaluation: Evaluation) -> Table:
    """Precision at 101 recalls, persons of all sizes: `OKS` (".50", ".75", "mean"), `recall`, `precision`.

    "mean" averages over the OKS thresholds .50 to .95: the mean of that curve is AP. Empty without evaluated persons.
    """
    if not evaluation.counted[0].any():
        return []
    precision = evaluation.curves.precision[0]
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


def occlusion(evaluation: Evaluation) -> Table:
    """AP by occlusion ratio: `occluded` (a value of `OCCLUSION_LABELS`), `AP`, `instances`."""
    return [
        {"occluded": OCCLUSION_LABELS[name], "AP": _rounded(metrics["AP"]), "instances": metrics["instances"]}
        for name, metrics in person_stratum_metrics(evaluation).items()
        if name in OCCLUSION_LABELS
    ]


def errors(evaluation: Evaluation) -> Table:
    """Ratio of each `ErrorKind` in the strata visible, occluded and occluded_by_*.

    Records: `stratum`, `kind`, `order` (of the kind, good first), `ratio`, `count`, and `joints`, the denominator of
    `ratio`: the number of labelled joints of persons with a result.
    """
    return [
        {
            "stratum": stratum.replace("_", " "),
            "kind": kind.name.lower(),
            "order": int(kind),
            "ratio": _rounded(metrics[kind.name.lower()]),
            "count": metrics[f"{kind.name.lower()}_joints"],
            "joints": metrics["joints"],
        }
        for stratum, metrics in evaluation.diagnosis_metrics.items()
        if stratum.startswith(("visible", "occluded")) and metrics["joints"]
        for kind in ErrorKind
    ]


def joints(evaluation: Evaluation) -> Table:
    """Mean `error` in units of sqrt(person area) and `PCK` of each joint: `joint`, `error`, `PCK`, `joints`."""
    strata = evaluation.joint_strata
    return [
        {
            "joint": name.replace("_", " "),
            "error": _rounded(strata[f"joint_{name}"]["error"]),
            "PCK": _rounded(strata[f"joint_{name}"]["PCK"]),
            "joints": strata[f"joint_{name}"]["joints"],
        }
        for name in evaluation.skeleton.joints
        if f"joint_{name}" in strata
    ]


def oks_histogram(person_oks: Float[np.ndarray, " P"]) -> Table:
    """Number of `instances` with an OKS from `low` to `high`, in 20 bins; the last includes 1. NaN is left out."""
    counts, _ = np.histogram(person_oks[~np.isnan(person_oks)], bins=OKS_BINS)
    return [
        {"low": round(float(low), 2), "high": round(float(high), 2), "instances": int(count)}
        for low, high, count in zip(OKS_BINS, OKS_BINS[1:], counts)
    ]


def _rounded(value: float | int | None) -> float | None:
    return None if value is None else round(float(value), DIGITS)
