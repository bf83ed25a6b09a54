"""All metrics of one set of results, and the few that stand for them."""

from collections.abc import Mapping
from typing import Any

from dag.annotation import Source
from dag.evaluation.coco.arrays import GroundTruth, Results
from dag.evaluation.coco.average_precision import Metrics, average_precision, strata_precision
from dag.evaluation.coco.matching import persons_of_results
from dag.evaluation.diagnosis import ErrorKind, corrected, diagnose, diagnosis_metrics
from dag.evaluation.strata import TORSO, joint_strata, pck_torso, person_strata
from dag.skeleton import Skeleton

AllMetrics = dict[str, Any]

BAND_NAMES = {
    "crowd_easy": "AP_easy",
    "crowd_medium": "AP_medium",
    "crowd_hard": "AP_hard",
    "max_iou_moderate": "AP_moderate",
    "max_iou_hard": "AP_hard",
    "most_occluded": "AP_most_occluded",
}
"""Strata whose AP goes beside the whole's, as CrowdPose's and OCHuman's papers print it."""

DIAGNOSED = ("jitter", "inversion", "swap", "miss")


def all_metrics(gt: GroundTruth, results: Results, skeleton: Skeleton) -> AllMetrics:
    """Every figure of docs/metrics.md, for one set of results.

    Returns:
        COCO's ten metrics and `BAND_NAMES`' where they are known; `people`: how many are looked for; then nested:
        `strata` (`strata_precision` of `person_strata`), `joints` (`joint_strata`), `diagnosis` (`diagnosis_metrics`),
        `corrected` (AP if every joint of one kind were where the ground truth has it), `torso` (`pck_torso`, for skeletons that
        have one).
    """
    person_of = persons_of_results(gt, results, skeleton.sigma_array)
    diagnosis = diagnose(gt, results, person_of, skeleton)
    strata = strata_precision(gt, results, skeleton, person_strata(gt))
    kinds = [kind for kind in ErrorKind if kind is not ErrorKind.GOOD]
    mended_results = {kind.name.lower(): corrected(gt, results, diagnosis, kind) for kind in kinds}
    has_torso = set(TORSO) <= set(skeleton.joints)
    return {
        **average_precision(gt, results, skeleton),
        **{BAND_NAMES[name]: metrics["AP"] for name, metrics in strata.items() if name in BAND_NAMES},
        "instances": int(gt.wanted.sum()),
        "strata": strata,
        "joints": joint_strata(gt, results, person_of, skeleton),
        "diagnosis": diagnosis_metrics(gt, diagnosis, skeleton),
        "corrected": {name: average_precision(gt, better, skeleton)["AP"] for name, better in mended_results.items()},
        "torso": pck_torso(gt, results, person_of, skeleton) if has_torso else {},
    }


def headline(metrics: AllMetrics) -> Metrics:
    """The metrics that experiments are compared by: APs, AR, PCK of visible and occluded joints, shares of errors."""
    plain = {name: value for name, value in metrics.items() if name.startswith(("AP", "AR"))}
    joints = {
        f"PCK_{name}": metrics["joints"][name]["PCK"] for name in ("visible", "occluded") if name in metrics["joints"]
    }
    return {**plain, **joints, **{kind: metrics["diagnosis"]["all"][kind] for kind in DIAGNOSED}}


def flat(metrics: AllMetrics, prefix: str = "") -> dict[str, float | int | None]:
    """Nested metrics by dotted names, e.g. "diagnosis.occluded.swap"."""
    names: dict[str, float | int | None] = {}
    for name, value in metrics.items():
        names |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return names


def relabelled_joints(gt: GroundTruth) -> dict[str, int]:
    """Labelled joints of people who should be found by who relabelled them; nothing where nobody did.

    `proposed`: a model's results told the place, and that model is favoured where it is judged on them.
    """
    labelled = (gt.visibility > 0) & gt.wanted[:, None]
    counts = {
        source.name.lower(): int((gt.source[labelled] == source).sum())
        for source in (Source.RELABELLED, Source.PROPOSED, Source.REVIEWED)
    }
    return counts if any(counts.values()) else {}


def protocol_metrics(metrics: Mapping[str, AllMetrics], output: str) -> dict[str, Any]:
    """What experiments are compared by.

    Args:
        metrics: of every output, `all_metrics`.
        output: whose `headline` it is; "heatmap", or the first, takes its place where there is no such output.

    Returns:
        `output`, `people`, its headline, and of the other outputs AP and AP_most_occluded.
    """
    chosen = next(name for name in (output, "heatmap", *metrics) if name in metrics)
    brief = {
        name: {key: other[key] for key in ("AP", "AP_most_occluded") if key in other}
        for name, other in metrics.items()
        if name != chosen
    }
    return {"output": chosen, "instances": metrics[chosen]["instances"], **headline(metrics[chosen]), **brief}
