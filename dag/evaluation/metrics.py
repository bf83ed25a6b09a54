"""All metrics of an `Evaluation`, and the headline metrics that experiments are compared by."""

from collections.abc import Mapping
from typing import Any

from dag.annotation import Source
from dag.evaluation.coco.arrays import GroundTruth
from dag.evaluation.coco.average_precision import AREAS, METRICS, average_precision, stratum_metrics
from dag.evaluation.diagnosis import ErrorKind, corrected
from dag.evaluation.evaluation import Evaluation
from dag.evaluation.strata import Metrics, pck_torso
from dag.skeleton import TORSO

AllMetrics = dict[str, Any]
"""Metrics and nested groups of metrics, by name. `Metrics` are flat."""

BAND_NAMES = {
    "crowd_easy": "AP_easy",
    "crowd_medium": "AP_medium",
    "crowd_hard": "AP_hard",
    "max_iou_moderate": "AP_moderate",
    "max_iou_hard": "AP_hard",
    "most_occluded": "AP_most_occluded",
}
"""Strata whose AP is a headline metric, and its name, as in the papers of CrowdPose and OCHuman."""

DIAGNOSED = ("jitter", "inversion", "swap", "miss")
"""Kinds of error, without `ErrorKind.GOOD`."""


def all_metrics(evaluation: Evaluation) -> AllMetrics:
    """Every metric of docs/metrics.md.

    Returns:
        COCO's ten metrics; those of `BAND_NAMES` whose stratum has persons; `instances`, the number of evaluated
        persons. Then groups: `persons` (AP and AR by stratum of persons), `joints` (accuracy by stratum of joints),
        `diagnosis` (errors by stratum of joints), `oracle` (AP with all errors of one kind corrected), `torso`
        (`pck_torso`; empty for skeletons without a torso).
    """
    gt, skeleton = evaluation.ground_truth, evaluation.skeleton
    persons = person_stratum_metrics(evaluation)
    has_torso = set(TORSO) <= set(skeleton.joints)
    return {
        **coco_metrics_of(evaluation),
        **{BAND_NAMES[name]: metrics["AP"] for name, metrics in persons.items() if name in BAND_NAMES},
        "instances": int(gt.evaluated.sum()),
        "persons": persons,
        "joints": evaluation.joint_strata,
        "diagnosis": evaluation.diagnosis_metrics,
        "oracle": oracle_metrics(evaluation),
        "torso": pck_torso(gt, evaluation.results, evaluation.person_of, skeleton) if has_torso else {},
    }


def coco_metrics_of(evaluation: Evaluation) -> Metrics:
    """COCO's ten metrics, in the order of pycocotools' `stats`."""
    metrics: Metrics = {}
    for row, suffix in enumerate(AREAS):
        metrics |= stratum_metrics(evaluation.curves, row, suffix)
    return {name: metrics[name] for name in METRICS}


def person_stratum_metrics(evaluation: Evaluation) -> dict[str, Metrics]:
    """AP, AP50, AP75, AR and number of `instances` of each stratum of persons.

    Persons of other strata are ignored, and so are results that match them. A result that matches no person is a false
    positive in the stratum of the person whose box was used; for a detector's boxes, in the strata of the persons in
    its image.
    """
    metrics: dict[str, Metrics] = {}
    for stratum in evaluation.strata:
        row = evaluation.row(stratum)
        values = stratum_metrics(evaluation.curves, row)
        count = int(evaluation.counted[row].sum())
        metrics[stratum] = {"instances": count, **{name: values[name] for name in ("AP", "AP50", "AP75", "AR")}}
    return metrics


def oracle_metrics(evaluation: Evaluation) -> Metrics:
    """AP with all errors of one kind corrected, by kind; scores are unchanged."""
    gt, results, skeleton = evaluation.ground_truth, evaluation.results, evaluation.skeleton
    repaired = {kind: corrected(gt, results, evaluation.diagnosis, ErrorKind[kind.upper()]) for kind in DIAGNOSED}
    return {kind: average_precision(gt, changed, skeleton)["AP"] for kind, changed in repaired.items()}


def headline(metrics: AllMetrics) -> Metrics:
    """AP and AR metrics, PCK of visible and occluded joints, and the ratio of each kind of error.

    Args:
        metrics: `all_metrics`.
    """
    plain = {name: value for name, value in metrics.items() if name.startswith(("AP", "AR"))}
    joints = {
        f"PCK_{name}": metrics["joints"][name]["PCK"] for name in ("visible", "occluded") if name in metrics["joints"]
    }
    return {**plain, **joints, **{kind: metrics["diagnosis"]["all"][kind] for kind in DIAGNOSED}}


def flat(metrics: AllMetrics, prefix: str = "") -> dict[str, float | int | None]:
    """Metrics by dotted name, e.g. "diagnosis.occluded.swap"."""
    names: dict[str, float | int | None] = {}
    for name, value in metrics.items():
        names |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return names


def relabelled_joints(gt: GroundTruth) -> dict[str, int]:
    """Number of relabelled joints of evaluated persons by source; empty without relabelled joints.

    `proposed`: the location comes from a pose model's results. Evaluation on these joints is biased towards that model.
    """
    labelled = (gt.visibility > 0) & gt.evaluated[:, None]
    counts = {
        source.name.lower(): int((gt.source[labelled] == source).sum())
        for source in (Source.RELABELLED, Source.PROPOSED, Source.REVIEWED)
    }
    return counts if any(counts.values()) else {}


def protocol_metrics(metrics: Mapping[str, AllMetrics], output: str) -> dict[str, Any]:
    """Metrics that experiments are compared by.

    Args:
        metrics: `all_metrics` of every output.
        output: the headline output; "heatmap", or the first output, replaces one that does not exist.

    Returns:
        `output`, `instances`, the headline of that output, and AP and AP_most_occluded of the other outputs.
    """
    chosen = next(name for name in (output, "heatmap", *metrics) if name in metrics)
    others = {
        name: {key: other[key] for key in ("AP", "AP_most_occluded") if key in other}
        for name, other in metrics.items()
        if name != chosen
    }
    return {"output": chosen, "instances": metrics[chosen]["instances"], **headline(metrics[chosen]), **others}
