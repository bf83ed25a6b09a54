"""How good predictions are where something is hidden: by person and by joint."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int8

from dag.evaluation.average_precision import coco_metrics
from dag.evaluation.oks import joint_similarity
from dag.person import Occluder, Person, Visibility
from dag.prediction import Prediction
from dag.skeleton import Skeleton

PCK_SHARE = 0.1
"""A joint is correct within this share of the longer side of the person's box."""


def hidden_joints(visibility: Int8[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]:
    """Labelled joints that cannot be seen: 1 (annotated) and 3 (relabelled)."""
    return (visibility == Visibility.HIDDEN) | (visibility == Visibility.RELABELLED)


def hidden_share(person: Person) -> float:
    """Share of a person's labelled joints that are hidden; 0 without labelled joints."""
    return float(hidden_joints(person.visibility).sum() / max(1, person.num_keypoints))


def most_occluded(persons: Sequence[Person], share: float = 1 / 3) -> list[Person]:
    """The `share` of people with keypoints (rounded up) who have the largest part hidden, the largest first.

    People with nothing hidden are left out even if that makes fewer; people with the same part come by their id.
    """
    people = [person for person in persons if person.num_keypoints > 0 and not person.is_crowd]
    ranked = sorted(people, key=lambda person: (-hidden_share(person), person.person_id))
    return [person for person in ranked[: math.ceil(share * len(people))] if hidden_share(person) > 0]


def occlusion_metrics(
    persons: Sequence[Person], predictions: Sequence[Prediction], skeleton: Skeleton
) -> dict[str, Any]:
    """Figures by occlusion, for one prediction a person in the person's own box.

    Returns:
        `most_occluded`: number of `people` and `AP` of the most occluded third alone, the others' rows and predictions
        left out; `joints`: for "visible", "hidden" and "hidden_by_<occluder>" (the true occluder where the rows know
        it) what `joint_metrics` gives.
    """
    people = most_occluded(persons)
    chosen = {person.person_id for person in people}
    theirs = [prediction for prediction in predictions if prediction.person_id in chosen]
    occluded_ap = coco_metrics(people, theirs, skeleton)["AP"] if people else None
    return {
        "most_occluded": {"people": len(people), "AP": occluded_ap},
        "joints": joint_strata(persons, predictions, skeleton),
    }


def joint_strata(
    persons: Sequence[Person], predictions: Sequence[Prediction], skeleton: Skeleton
) -> dict[str, dict[str, float | int]]:
    """`joint_metrics` of visible and of hidden joints, and of hidden joints by what hides them, where that is known."""
    by_person = {person.person_id: person for person in persons}
    pairs = [(prediction, by_person[p]) for prediction in predictions if (p := prediction.person_id) in by_person]
    if not pairs:
        return {}
    truth = [person for _, person in pairs]
    predicted_xy = np.stack([prediction.keypoints_xy for prediction, _ in pairs])
    truth_xy = np.stack([person.keypoints_xy for person in truth])
    area = np.array([person.area for person in truth])
    longer_side = np.stack([person.bbox_xywh[2:] for person in truth]).max(-1)
    distance = np.linalg.norm(predicted_xy - truth_xy, axis=-1)
    error = distance / np.sqrt(area)[:, None]
    similarity = joint_similarity(predicted_xy, truth_xy, area, skeleton.sigma_array)
    correct = distance <= PCK_SHARE * longer_side[:, None]
    visibility = np.stack([person.visibility for person in truth])
    occluder = np.stack([p.occluder if p.true_occluder is None else p.true_occluder for p in truth])
    hidden = hidden_joints(visibility)
    strata = {"visible": visibility == Visibility.VISIBLE, "hidden": hidden}
    strata |= {f"hidden_by_{code.name.lower()}": hidden & (occluder == code) for code in Occluder if code}
    return {
        name: joint_metrics(error[mask], similarity[mask], correct[mask]) for name, mask in strata.items() if mask.any()
    }


def joint_metrics(
    error: Float[np.ndarray, " n"], similarity: Float[np.ndarray, " n"], correct: Bool[np.ndarray, " n"]
) -> dict[str, float | int]:
    """Number of `joints`, mean OKS of a joint, PCK at `PCK_SHARE`, mean `error` in units of sqrt(person area)."""
    return {
        "joints": len(error),
        "OKS": float(similarity.mean()),
        "PCK": float(correct.mean()),
        "error": float(error.mean()),
    }
