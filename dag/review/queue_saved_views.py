"""Saved views of the review queue, the least certain proposal first."""

import fiftyone as fo
from fiftyone import ViewField

from dag.annotation import Occluder
from dag.review.joint_boxes import FIELDS
from dag.skeleton import Skeleton

DECISION_VIEWS = {
    "accepted": ["accept"],
    "rejected": ["reject"],
    "moved or flagged": ["move", "flag"],
    "accepted automatically": ["automatic"],
}
"""Name of a view -> decisions, of which its images contain at least one."""


def save_queue_views(dataset: fo.Dataset, skeleton: Skeleton) -> None:
    """Save views of images, by the highest uncertainty of a queued joint, descending.

    "queue", those of `DECISION_VIEWS`, "model disagreement" (largest first), and of queued joints one view for each
    joint name and one for each occluder.
    """
    ranked = dataset.sort_by("uncertainty", reverse=True)
    queued = ranked.match(ViewField("queued_joints") > 0)
    dataset.save_view("queue", queued, description="images with queued joints, the least certain first")
    for name, decisions in DECISION_VIEWS.items():
        has = [ViewField(f"{field}.detections.decision").contains(decisions) for field in FIELDS]
        dataset.save_view(name, ranked.match(has[0] | has[1]), description=f"images with joints {name}")
    disagreement = queued.match(ViewField("disagreement") > 0).sort_by("disagreement", reverse=True)
    dataset.save_view("model disagreement", disagreement, description="images by disagreement of models, descending")
    names = {joint.replace("_", " "): ViewField("label") == joint for joint in skeleton.joints}
    occluders = [occluder.name.lower() for occluder in Occluder]
    names |= {f"occluded by {occluder}": ViewField("occluder") == occluder for occluder in occluders}
    for name, condition in names.items():
        matching = ViewField("proposed_joints.detections").filter(condition & (ViewField("decision") == "queued"))
        dataset.save_view(name, ranked.match(matching.length() > 0), description=f"images with queued joints: {name}")
