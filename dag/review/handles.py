"""Handles: small detections around joints, because the App's Annotate tab edits detections but not keypoints.

A handle's `label` is the joint and its centre the location of the joint. `kept` is its state at the last save. Samples
that the App saves pass through `save`, which turns changed handles into decisions.
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
DECISION_FIELDS = ("decision", "reviewer", "time")
DECISIONS = ["queued", "automatic", "accept", "reject", "move", "flag"]
VISIBILITIES = [each.name.lower() for each in Visibility]
OCCLUDERS = [each.name.lower() for each in Occluder]


def declare(dataset: fo.Dataset) -> None:
    """Declare the two fields of handles: joints with a proposal, and the other labelled joints of the same persons."""
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
    """Set the label schema of the Annotate tab: location and three attributes of a handle can be changed."""
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
    """Make a handle, as FiftyOne stores it.

    Args:
        standing: decision shown before any review.
        decision: the latest decision, if any.
        fields: further read-only fields of the label.
    """
    shown, action = joint.origin, decision.action if decision else standing
    if decision and decision.action != "reject" and decision.visibility > 0:
        shown = Label(*decision.label)
    decided = dict(zip(DECISION_FIELDS, (action, decision and decision.reviewer, decision and decision.time)))
    visibility = decision.visibility if decision and decision.action == "flag" else shown.visibility
    side = min(max(0.05 * person.area**0.5, 6.0), 16.0)
    size = person.image_width, person.image_height
    return document(
        "Detection",
        label=joint.name,
        bounding_box=_box(shown, side, size),
        person_id=joint.person_id,
        **decided,
        visibility=VISIBILITIES[visibility],
        occluder=shown.occluder,
        kept={
            "joint": joint.name,
            "person_id": joint.person_id,
            "before": _row(joint.before),
            "proposed": _row(joint.proposed) if joint.proposed else None,
            "standing": standing,
            "shown": [shown.x, shown.y, visibility, shown.occluder],
            **decided,
        },
        **fields,
    )


def patch_sample_routes() -> None:
    """Replace the App server's functions that read and save a sample: `save` runs on every save.

    FiftyOne 1.22.1 offers no supported way: the Annotate tab saves through `server/routes/sample.py`, whose
    `save_sample` replaces the document in MongoDB without an event or signal. Panel events (`operators/panel.py`:
    dataset, view, selection, current sample) do not include a save; a plugin operator runs only when the reviewer
    calls it (the plugin of this package is that second way); MongoDB change streams need a replica set, and neither
    they nor polling `last_modified_at` can refuse an invalid edit. To be dropped when FiftyOne can edit keypoints.

    Saves of an outdated browser page are refused: FiftyOne would answer with the stored sample, and the browser would
    then overwrite everything that differs from its page.
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
    """Turn changed handles of a sample into decisions, `write` the sample, append the decisions to the journal.

    Raises:
        ValueError: an invalid change, with a text for the reviewer; nothing is written.
    """
    info: Any = sample.dataset.info  # pyright: ignore[reportOptionalMemberAccess]
    decisions = collect_decisions(sample, info["reviewer"])
    result = write()
    if decisions:
        journal.append(info["journal"], decisions)
    return result


def collect_decisions(sample: Any, reviewer: str) -> list[Decision]:
    """Decisions of a sample's changed handles; the handles are updated to show them.

    Raises:
        ValueError: as `save`.
    """
    handles, stored = handles_of(sample), _stored(sample)
    decisions: list[Decision] = []
    if sorted(handle.id for handle in handles) != sorted(stored):
        raise ValueError("joints are neither added nor deleted here: choose reject, or the visibility unlabelled")
    for handle in handles:
        handle.kept = stored[handle.id]  # not the browser's: undo sends an older handle as a whole
        joint, choice, shown = read_handle(handle, sample.metadata)
        if choice or not shown.is_same(Label(*handle.kept["shown"])):
            action, label = decide(joint, choice, shown)
            decision = make_decision(joint, action, label, reviewer)
            _show(handle, joint, decision, shown, sample.metadata)
            _show_after(sample, joint, label)
            decisions.append(decision)
        for name in DECISION_FIELDS:
            handle[name] = handle.kept[name]
    sample.queued = sum(handle.decision == "queued" for handle in handles)
    sample.decided = sum(handle.reviewer is not None for handle in handles)
    return decisions


def _stored(sample: Any) -> dict[str, Any]:
    """`kept` of the handles of a sample in the database, by id."""
    stored: dict[str, Any] = {}
    for field in FIELDS:
        view = sample.dataset.select(sample.id)
        stored |= zip(*view.values([f"{field}.detections.id", f"{field}.detections.kept"], unwind=True))
    return stored


def handles_of(sample: Any) -> list[Any]:
    """Handles of a sample, proposed ones first."""
    return [handle for field in FIELDS for handle in sample[field].detections]


def read_handle(handle: Any, size: Any) -> tuple[Joint, str | None, Label]:
    """Joint of a handle, the decision chosen since the last save, and the label it shows.

    Args:
        size: with `width` and `height` of the image.

    Raises:
        ValueError: as `save`.
    """
    kept = handle.kept
    if (handle.label, handle.person_id) != (kept["joint"], kept["person_id"]):
        raise ValueError("the name and the person of a joint cannot be changed")
    if handle.visibility not in VISIBILITIES or handle.occluder not in OCCLUDERS:
        raise ValueError("choose a visibility and an occluder")
    left, top, width, height = handle.bounding_box
    x, y = (left + width / 2) * size.width - 0.5, (top + height / 2) * size.height - 0.5
    if not inside_image(np.array([[x, y]]), size.width, size.height).all():
        raise ValueError("a joint must be inside the image; choose the visibility unlabelled for one outside")
    joint = Joint(
        kept["person_id"], kept["joint"], Label(*kept["before"]), Label(*kept["proposed"]) if kept["proposed"] else None
    )
    choice = handle.decision if handle.decision != kept["decision"] and handle.decision in CHOICES else None
    return joint, choice, Label(x, y, VISIBILITIES.index(handle.visibility), handle.occluder)


def _show(handle: Any, joint: Joint, decision: Decision, shown: Label, size: Any) -> None:
    """Update the handle to show a decision; after "reject" and "withdraw" it returns to its origin."""
    withdrawn = decision.action == "withdraw"
    back = withdrawn or decision.action == "reject"
    new = joint.origin if back else Label(shown.x, shown.y, decision.visibility, decision.occluder)
    side = handle.bounding_box[2] * size.width
    handle.bounding_box = _box(new, side, (size.width, size.height))
    handle.visibility, handle.occluder = VISIBILITIES[new.visibility], new.occluder
    decided = (
        (handle.kept["standing"], None, None) if withdrawn else (decision.action, decision.reviewer, decision.time)
    )
    handle.kept = {**handle.kept, "shown": _row(new), **dict(zip(DECISION_FIELDS, decided))}


def _show_after(sample: Any, joint: Joint, label: Label) -> None:
    number = sample.dataset.default_skeleton.labels.index(joint.name)
    for pose in sample.after.keypoints:
        if pose.person_id == joint.person_id:
            location = [(label.x + 0.5) / sample.metadata.width, (label.y + 0.5) / sample.metadata.height]
            pose.points[number] = location if label.visibility else [float("nan")] * 2
            pose.visibility[number] = VISIBILITIES[label.visibility]


def _box(label: Label, side: float, size: tuple[int, int]) -> list[float]:
    width, height = size
    return [(label.x + 0.5 - side / 2) / width, (label.y + 0.5 - side / 2) / height, side / width, side / height]


def _row(label: Label) -> list:
    return [label.x, label.y, label.visibility, label.occluder]
