"""Joint boxes: small boxes around joints, because the App's Annotate tab edits boxes but not keypoints.

A joint box is a detection whose `label` is the joint's name and whose centre is the joint's location. Its field
`last_saved` holds the joint before review and the box as it was after the last save; a difference is an edit.

Keypoint editing is planned for the Annotate tab (voxel51/fiftyone#8523, not in 1.22.1); it would replace this module.
"""

from collections.abc import Callable, Iterable
from typing import Any

import fiftyone as fo
import numpy as np

from dag.annotation import Occluder, PersonAnnotation, Visibility
from dag.geometry import inside_image
from dag.relabel.reviews import Decision
from dag.review import journal
from dag.review.decisions import CHOICES, Joint, Label, decide, make_decision
from dag.review.labels import Document, document

FIELDS = ("proposed_joints", "annotated_joints")
DECISION_FIELDS = ("decision", "reviewer", "time")
DECISIONS = ["queued", "automatic", "accept", "reject", "move", "flag"]
VISIBILITIES = [each.name.lower() for each in Visibility]
OCCLUDERS = [each.name.lower() for each in Occluder]


def declare_joint_boxes(dataset: fo.Dataset) -> None:
    """Declare the two fields of joint boxes: proposals, and the other labelled joints of the same persons."""
    for field in FIELDS:
        dataset.add_sample_field(field, fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
        dataset.add_sample_field(f"{field}.detections.person_id", fo.IntField)
        for name in ("decision", "visibility", "occluder", "reviewer", "time"):
            dataset.add_sample_field(f"{field}.detections.{name}", fo.StringField)
        dataset.add_sample_field(f"{field}.detections.last_saved", fo.DictField)
    for name in ("uncertainty", "disagreement"):
        dataset.add_sample_field(f"proposed_joints.detections.{name}", fo.FloatField)
    for name in ("reason", "sources"):
        dataset.add_sample_field(f"proposed_joints.detections.{name}", fo.StringField)


def make_editable(dataset: fo.Dataset, joints: Iterable[str]) -> None:
    """Set the label schemas of the Annotate tab: location, decision, visibility and occluder can be edited."""
    decisions = {"type": "str", "component": "radio", "values": DECISIONS}
    read_only = {"type": "str", "component": "text", "read_only": True}
    attributes = [
        {"name": "visibility", "type": "str", "component": "radio", "values": VISIBILITIES},
        {"name": "occluder", "type": "str", "component": "radio", "values": OCCLUDERS},
        {"name": "person_id", "type": "int", "component": "text", "read_only": True},
        {"name": "reviewer", **read_only},
        {"name": "time", **read_only},
    ]
    for field, decision in zip(FIELDS, (decisions, read_only)):
        schema = {"type": "detections", "component": "dropdown", "classes": list(joints)}
        dataset.update_label_schema(field, {**schema, "attributes": [{"name": "decision", **decision}, *attributes]})
    dataset.active_label_schemas = list(FIELDS)


def make_joint_box(
    person: PersonAnnotation, joint: Joint, undecided: str, decision: Decision | None, **fields: Any
) -> Document:
    """A joint box, as FiftyOne stores it.

    Args:
        undecided: the shown decision while there is none, one of `dag.review.decisions.UNDECIDED`.
        decision: the standing decision, if any.
        fields: additional fields of the label, for display.
    """
    label, action = joint.initial, decision.action if decision else undecided
    if decision and decision.action != "reject" and decision.visibility > 0:
        label = Label(*decision.label)
    decided = dict(zip(DECISION_FIELDS, (action, decision and decision.reviewer, decision and decision.time)))
    visibility = decision.visibility if decision and decision.action == "flag" else label.visibility
    side = min(max(0.05 * person.area**0.5, 6.0), 16.0)
    size = person.image_width, person.image_height
    return document(
        "Detection",
        label=joint.name,
        bounding_box=_box(label, side, size),
        person_id=joint.person_id,
        **decided,
        visibility=VISIBILITIES[visibility],
        occluder=label.occluder,
        last_saved={
            "joint": joint.name,
            "person_id": joint.person_id,
            "annotated": _values(joint.annotated),
            "proposed": _values(joint.proposed) if joint.proposed else None,
            "undecided": undecided,
            "label": [label.x, label.y, visibility, label.occluder],
            **decided,
        },
        **fields,
    )


def save_with_decisions(sample: fo.Sample, save: Callable[[], Any]) -> Any:
    """Derive decisions from a sample's edited joint boxes, `save` the sample, append the decisions to the journal.

    Returns:
        The result of `save`. The decisions are on disk by then.

    Raises:
        ValueError: an edit is not allowed; the text is meant for the reviewer. Nothing is saved then.
    """
    info: Any = sample.dataset.info  # pyright: ignore[reportOptionalMemberAccess]
    decisions = decisions_from_edits(sample, info["reviewer"])
    result = save()
    if decisions:
        journal.append(info["journal"], decisions)
    return result


def decisions_from_edits(sample: Any, reviewer: str) -> list[Decision]:
    """Decisions from the edited joint boxes of a sample; also updates the sample's fields to show them.

    Raises:
        ValueError: as `save_with_decisions`.
    """
    boxes, stored, decisions = joint_boxes(sample), _last_saved(sample), []
    if sorted(box.id for box in boxes) != sorted(stored):
        raise ValueError("joints cannot be added or deleted: choose reject, or the visibility unlabelled")
    for box in boxes:
        box.last_saved = stored[box.id]  # not the browser's value: its undo sends an older version of the whole box
        joint, choice, edited = read_edit(box, sample.metadata)
        if choice or not edited.is_same(Label(*box.last_saved["label"])):
            action, label = decide(joint, choice, edited)
            decision = make_decision(joint, action, label, reviewer)
            _show_decision(box, joint, decision, edited, sample.metadata)
            _update_reviewed_pose(sample, joint, label)
            decisions.append(decision)
        for name in DECISION_FIELDS:
            box[name] = box.last_saved[name]
    sample.queued_joints = sum(box.decision == "queued" for box in boxes)
    sample.decided_joints = sum(box.reviewer is not None for box in boxes)
    return decisions


def _last_saved(sample: Any) -> dict[str, Any]:
    """`last_saved` of a sample's joint boxes in the database, by id."""
    stored: dict[str, Any] = {}
    for field in FIELDS:
        view = sample.dataset.select(sample.id)
        stored |= zip(*view.values([f"{field}.detections.id", f"{field}.detections.last_saved"], unwind=True))
    return stored


def joint_boxes(sample: Any) -> list[Any]:
    """Joint boxes of a sample, proposals first."""
    return [box for field in FIELDS for box in sample[field].detections]


def read_edit(box: Any, size: Any) -> tuple[Joint, str | None, Label]:
    """The joint of a box, the choice made since the last save (or None), and the label that the box now shows.

    Args:
        size: has `width` and `height` of the image.

    Raises:
        ValueError: as `save_with_decisions`.
    """
    last = box.last_saved
    if (box.label, box.person_id) != (last["joint"], last["person_id"]):
        raise ValueError("the name and the person of a joint cannot be changed")
    if box.visibility not in VISIBILITIES or box.occluder not in OCCLUDERS:
        raise ValueError("choose a visibility and an occluder")
    left, top, width, height = box.bounding_box
    x, y = (left + width / 2) * size.width - 0.5, (top + height / 2) * size.height - 0.5
    if not inside_image(np.array([[x, y]]), size.width, size.height).all():
        raise ValueError("the joint is outside the image: choose the visibility unlabelled instead")
    proposed = Label(*last["proposed"]) if last["proposed"] else None
    joint = Joint(last["person_id"], last["joint"], Label(*last["annotated"]), proposed)
    choice = box.decision if box.decision != last["decision"] and box.decision in CHOICES else None
    return joint, choice, Label(x, y, VISIBILITIES.index(box.visibility), box.occluder)


def _show_decision(box: Any, joint: Joint, decision: Decision, edited: Label, size: Any) -> None:
    """Update a joint box to its decision; "reject" and "withdraw" restore the initial label."""
    withdrawn = decision.action == "withdraw"
    restored = withdrawn or decision.action == "reject"
    label = joint.initial if restored else Label(edited.x, edited.y, decision.visibility, decision.occluder)
    side = box.bounding_box[2] * size.width
    box.bounding_box = _box(label, side, (size.width, size.height))
    box.visibility, box.occluder = VISIBILITIES[label.visibility], label.occluder
    decided = (decision.action, decision.reviewer, decision.time)
    decided = (box.last_saved["undecided"], None, None) if withdrawn else decided
    box.last_saved = {**box.last_saved, "label": _values(label), **dict(zip(DECISION_FIELDS, decided))}


def _update_reviewed_pose(sample: Any, joint: Joint, label: Label) -> None:
    index = sample.dataset.default_skeleton.labels.index(joint.name)
    for pose in sample.reviewed_pose.keypoints:
        if pose.person_id == joint.person_id:
            point = [(label.x + 0.5) / sample.metadata.width, (label.y + 0.5) / sample.metadata.height]
            pose.points[index] = point if label.visibility else [float("nan")] * 2
            pose.visibility[index] = VISIBILITIES[label.visibility]


def _box(label: Label, side: float, size: tuple[int, int]) -> list[float]:
    width, height = size
    return [(label.x + 0.5 - side / 2) / width, (label.y + 0.5 - side / 2) / height, side / width, side / height]


def _values(label: Label) -> list:
    return [label.x, label.y, label.visibility, label.occluder]
