"""Appearance of the review queue in the App: skeletons, colours, active fields, sidebar."""

from typing import Any

import fiftyone as fo

from dag.review.appearance import set_sidebar, set_skeleton
from dag.review.joint_boxes import FIELDS
from dag.review.labels import BOX_LABELS, OCCLUSION_CLASSES
from dag.skeleton import Skeleton

POSE_COLORS = {"annotated_pose": "#00e676", "reviewed_pose": "#40c4ff", "boxes": "#ffffff"}
DECISION_COLORS = {
    "queued": "#ff4081",
    "automatic": "#d500f9",
    "accept": "#2979ff",
    "move": "#2979ff",
    "flag": "#ffea00",
    "reject": "#ff1744",
    "annotated": "#00e676",
}
METRICS = ("queued_joints", "decided_joints", "uncertainty", "disagreement", "num_persons")


def set_queue_appearance(dataset: fo.Dataset, skeleton: Skeleton) -> None:
    """Colour joint boxes by their decision and each pose field by one colour; draw the bones of both poses."""
    set_skeleton(dataset, skeleton, ("annotated_pose", "reviewed_pose"))
    labels = (*OCCLUSION_CLASSES, *BOX_LABELS)
    colored = [
        _color_by_value("proposed_joints", DECISION_COLORS["queued"], "decision", DECISION_COLORS),
        _color_by_value("annotated_joints", DECISION_COLORS["annotated"], "decision", DECISION_COLORS),
        *(_color_by_value(field, color, "label", dict.fromkeys(labels, color)) for field, color in POSE_COLORS.items()),
    ]
    config: Any = dataset.app_config
    config.color_scheme = fo.ColorScheme(
        color_by="value",
        fields=colored,
        show_skeletons=True,
        multicolor_keypoints=False,
        opacity=0.6,
    )
    config.active_fields = fo.ActiveFields(paths=["annotated_pose", "proposed_joints", "queued_joints"])
    set_sidebar(dataset, {"joints": [*FIELDS, *POSE_COLORS], "review": METRICS})
    dataset.save()


def _color_by_value(field: str, color: str, attribute: str, colors: dict[str, str]) -> dict[str, Any]:
    values = [{"value": value, "color": color} for value, color in colors.items()]
    return {"path": field, "fieldColor": color, "colorByAttribute": attribute, "valueColors": values}
