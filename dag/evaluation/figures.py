"""All figures of one set of results, and the few that stand for them."""

from typing import Any

from dag.evaluation.arrays import Results, Truth
from dag.evaluation.average_precision import Metrics, average_precision, strata_precision
from dag.evaluation.diagnosis import ErrorKind, diagnose, diagnosis_figures, mended
from dag.evaluation.matching import persons_of_results
from dag.evaluation.strata import TORSO, joint_strata, pck_torso, person_strata
from dag.skeleton import Skeleton

Figures = dict[str, Any]

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


def all_figures(truth: Truth, results: Results, skeleton: Skeleton) -> Figures:
    """Every figure of docs/metrics.md, for one set of results.

    Returns:
        COCO's ten metrics and `BAND_NAMES`' where they are known; `people`: how many are looked for; then nested:
        `strata` (`strata_precision` of `person_strata`), `joints` (`joint_strata`), `diagnosis` (`diagnosis_figures`),
        `mended` (AP if every joint of one kind were where the truth has it), `torso` (`pck_torso`, for skeletons that
        have one).
    """
    person_of = persons_of_results(truth, results, skeleton.sigma_array)
    diagnosis = diagnose(truth, results, person_of, skeleton)
    strata = strata_precision(truth, results, skeleton, person_strata(truth))
    kinds = [kind for kind in ErrorKind if kind is not ErrorKind.GOOD]
    mended_results = {kind.name.lower(): mended(truth, results, diagnosis, kind) for kind in kinds}
    has_torso = set(TORSO) <= set(skeleton.joints)
    return {
        **average_precision(truth, results, skeleton),
        **{BAND_NAMES[name]: figures["AP"] for name, figures in strata.items() if name in BAND_NAMES},
        "people": int(truth.wanted.sum()),
        "strata": strata,
        "joints": joint_strata(truth, results, person_of, skeleton),
        "diagnosis": diagnosis_figures(truth, diagnosis, skeleton),
        "mended": {name: average_precision(truth, better, skeleton)["AP"] for name, better in mended_results.items()},
        "torso": pck_torso(truth, results, person_of, skeleton) if has_torso else {},
    }


def headline(figures: Figures) -> Metrics:
    """The figures that experiments are compared by: APs, AR, PCK of visible and hidden joints, shares of errors."""
    plain = {name: value for name, value in figures.items() if name.startswith(("AP", "AR"))}
    joints = {
        f"PCK_{name}": figures["joints"][name]["PCK"] for name in ("visible", "hidden") if name in figures["joints"]
    }
    return {**plain, **joints, **{kind: figures["diagnosis"]["all"][kind] for kind in DIAGNOSED}}


def flat(figures: Figures, prefix: str = "") -> dict[str, float | int | None]:
    """Nested figures by dotted names, e.g. "diagnosis.hidden.swap"."""
    names: dict[str, float | int | None] = {}
    for name, value in figures.items():
        names |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return names
