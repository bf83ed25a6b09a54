"""Handles: a tiny box round a joint, because the App's Annotate tab moves and edits boxes, but no keypoints.

A handle's `label` is the joint, its centre is where the joint is. `kept` is what it was when it was last looked at.
What the App saves passes through `save`, which turns changed handles into decisions.
"""

from collections.abc import Callable, Iterable
from typing import Any

import fiftyone as fo
import numpy as np
from starlette.exceptions import HTTPException

from dag.annotation import Occluder, PersonAnnotation, Visibility
from dag.geometry import inside_image
from dag.relabel.reviews import Decision
from dag.review import journal
from dag.review.decisions import CHOICES, Joint, Label, decide, make_decision
from dag.review.labels import Document, document

FIELDS = ("proposed", "annotated")
TOLD = ("decision", "reviewer", "time")
DECISIONS = ["queued", "automatic", "accept", "reject", "move", "flag"]
VISIBILITIES = [each.name.lower() for each in Visibility]
OCCLUDERS = [each.name.lower() for each in Occluder]


def declare(dataset: fo.Dataset) -> None:
    """Declare the two fields of handles: joints with a proposal, and the labelled others of the same people."""
    for field in FIELDS:
        dataset.add_sample_field(field, fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
        dataset.add_sample_field(f"{field}.detections.person_id", fo.IntField)
        for name in ("decision", "visibility", "occluder", "reviewer", "time"):
            dataset.add_sample_field(f"{field}.detections.{name}", fo.StringField)
        dataset.add_sample_field(f"{field}.detections.kept", fo.DictField)
    for name in ("uncertainty", "disagreement"):
        dataset.add_sample_field(f"proposed.detections.{name}", fo.FloatField)
    for name in ("reason", "sources"):
        dataset.add_sample_field(f"proposed.detections.{name}", fo.StringField)


def make_editable(dataset: fo.Dataset, joints: Iterable[str]) -> None:
    """Tell the Annotate tab what of a handle may be changed: its place, and three attributes."""
    proposed = {"type": "str", "component": "radio", "values": DECISIONS}
    fixed = {"type": "str", "component": "text", "read_only": True}
    attributes = [
        {"name": "visibility", "type": "str", "component": "radio", "values": VISIBILITIES},
        {"name": "occluder", "type": "str", "component": "radio", "values": OCCLUDERS},
        {"name": "person_id", "type": "int", "component": "text", "read_only": True},
        {"name": "reviewer", **fixed},
        {"name": "time", **fixed},
    ]
    for field, decision in (("proposed", proposed), ("annotated", fixed)):
        schema = {"type": "detections", "component": "dropdown", "classes": list(joints)}
        dataset.update_label_schema(field, {**schema, "attributes": [{"name": "decision", **decision}, *attributes]})
    dataset.active_label_schemas = list(FIELDS)


def make_handle(
    person: PersonAnnotation, joint: Joint, standing: str, decision: Decision | None, **fields: Any
) -> Document:
    """A handle as FiftyOne stores it.

    Args:
        standing: what it says while nobody has decided.
        decision: the one that stands, if any.
        fields: of the label, to look at.
    """
    shown, action = joint.origin, decision.action if decision else standing
    if decision and decision.action != "reject" and decision.visibility > 0:
        shown = Label(*decision.label)
    told = dict(zip(TOLD, (action, decision and decision.reviewer, decision and decision.time)))
    visibility = decision.visibility if decision and decision.action == "flag" else shown.visibility
    side = min(max(0.05 * person.area**0.5, 6.0), 16.0)
    size = person.image_width, person.image_height
    return document(
        "Detection",
        label=joint.name,
        bounding_box=_box(shown, side, size),
        person_id=joint.person_id,
        **told,
        visibility=VISIBILITIES[visibility],
        occluder=shown.occluder,
        kept={
            "joint": joint.name,
            "person_id": joint.person_id,
            "before": _row(joint.before),
            "proposed": _row(joint.proposed) if joint.proposed else None,
            "standing": standing,
            "shown": [shown.x, shown.y, visibility, shown.occluder],
            **told,
        },
        **fields,
    )


def install() -> None:
    """Have the App's server save samples through `save`, and refuse what an outdated browser sends.

    FiftyOne tells such a browser what is stored, upon which it overwrites all that differs from what it shows.
    """
    from fiftyone.server.exceptions import DbVersionMismatchError
    from fiftyone.server.routes import sample as routes

    get, write = routes.get_sample, routes.save_sample

    def get_sample(dataset_id: str, sample_id: str, if_last_modified_at: Any) -> fo.Sample:
        try:
            return get(dataset_id, sample_id, if_last_modified_at)
        except DbVersionMismatchError:
            raise HTTPException(409, "the image was changed elsewhere: load the page again") from None

    def save_sample(sample: fo.Sample, if_last_modified_at: Any) -> str:
        try:
            return save(sample, lambda: write(sample, if_last_modified_at))
        except ValueError as error:
            raise HTTPException(400, str(error)) from None

    routes.get_sample, routes.save_sample = get_sample, save_sample


def save(sample: fo.Sample, write: Callable[[], Any]) -> Any:
    """Turn what was changed in a sample's handles into decisions, `write` the sample, put the decisions on the disk.

    Raises:
        ValueError: a change that no label can have, in words for the reviewer; nothing is written then.
    """
    info: Any = sample.dataset.info  # pyright: ignore[reportOptionalMemberAccess]
    decisions = note(sample, info["reviewer"])
    result = write()
    if decisions:
        journal.append(info["journal"], decisions)
    return result


def note(sample: Any, reviewer: str) -> list[Decision]:
    """The decisions that a sample's changed handles stand for; the sample shows them from now on.

    Raises:
        ValueError: as `save`.
    """
    handles, stored, found = handles_of(sample), _stored(sample), []
    if sorted(handle.id for handle in handles) != sorted(stored):
        raise ValueError("joints are neither added nor deleted here: choose reject, or the visibility unlabelled")
    for handle in handles:
        handle.kept = stored[handle.id]  # not what the browser says: to undo, it sends back all of an older handle
        joint, choice, shown = read_handle(handle, sample.metadata)
        if choice or not shown.is_same(Label(*handle.kept["shown"])):
            action, label = decide(joint, choice, shown)
            decision = make_decision(joint, action, label, reviewer)
            _show(handle, joint, decision, shown, sample.metadata)
            _show_after(sample, joint, label)
            found.append(decision)
        for name in TOLD:
            handle[name] = handle.kept[name]
    sample.queued = sum(handle.decision == "queued" for handle in handles)
    sample.decided = sum(handle.reviewer is not None for handle in handles)
    return found


def _stored(sample: Any) -> dict[str, Any]:
    """What is `kept` of the handles of a sample in the database, by id."""
    stored: dict[str, Any] = {}
    for field in FIELDS:
        view = sample.dataset.select(sample.id)
        stored |= zip(*view.values([f"{field}.detections.id", f"{field}.detections.kept"], unwind=True))
    return stored


def handles_of(sample: Any) -> list[Any]:
    """Handles of a sample, proposed ones first."""
    return [handle for field in FIELDS for handle in sample[field].detections]


def read_handle(handle: Any, size: Any) -> tuple[Joint, str | None, Label]:
    """The joint of a handle, what was chosen for it since it was last looked at, and what it now shows.

    Args:
        size: with `width` and `height` of the image.

    Raises:
        ValueError: as `save`.
    """
    kept = handle.kept
    if (handle.label, handle.person_id) != (kept["joint"], kept["person_id"]):
        raise ValueError("joints keep their name and their person")
    if handle.visibility not in VISIBILITIES or handle.occluder not in OCCLUDERS:
        raise ValueError("choose a visibility and an occluder")
    left, top, width, height = handle.bounding_box
    x, y = (left + width / 2) * size.width - 0.5, (top + height / 2) * size.height - 0.5
    if not inside_image(np.array([[x, y]]), size.width, size.height).all():
        raise ValueError("a joint has to lie inside the image; choose the visibility unlabelled for one outside")
    joint = Joint(
        kept["person_id"], kept["joint"], Label(*kept["before"]), Label(*kept["proposed"]) if kept["proposed"] else None
    )
    choice = handle.decision if handle.decision != kept["decision"] and handle.decision in CHOICES else None
    return joint, choice, Label(x, y, VISIBILITIES.index(handle.visibility), handle.occluder)


def _show(handle: Any, joint: Joint, decision: Decision, shown: Label, size: Any) -> None:
    """Have the handle show a decision: back at its origin after "reject" and "withdraw"."""
    withdrawn = decision.action == "withdraw"
    back = withdrawn or decision.action == "reject"
    new = joint.origin if back else Label(shown.x, shown.y, decision.visibility, decision.occluder)
    side = handle.bounding_box[2] * size.width
    handle.bounding_box = _box(new, side, (size.width, size.height))
    handle.visibility, handle.occluder = VISIBILITIES[new.visibility], new.occluder
    told = (handle.kept["standing"], None, None) if withdrawn else (decision.action, decision.reviewer, decision.time)
    handle.kept = {**handle.kept, "shown": _row(new), **dict(zip(TOLD, told))}


def _show_after(sample: Any, joint: Joint, label: Label) -> None:
    number = sample.dataset.default_skeleton.labels.index(joint.name)
    for pose in sample.after.keypoints:
        if pose.person_id == joint.person_id:
            place = [(label.x + 0.5) / sample.metadata.width, (label.y + 0.5) / sample.metadata.height]
            pose.points[number] = place if label.visibility else [float("nan")] * 2
            pose.visibility[number] = VISIBILITIES[label.visibility]


def _box(label: Label, side: float, size: tuple[int, int]) -> list[float]:
    width, height = size
    return [(label.x + 0.5 - side / 2) / width, (label.y + 0.5 - side / 2) / height, side / width, side / height]


def _row(label: Label) -> list:
    return [label.x, label.y, label.visibility, label.occluder]
