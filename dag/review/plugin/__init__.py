"""FiftyOne plugin with two operators: decide about the selected joints (keys in keys.js), and about a whole person."""

from typing import Any

import fiftyone.operators as foo
from fiftyone.core.json import stringify
from fiftyone.operators import types

from dag.review.joint_boxes import VISIBILITIES, joint_boxes, save_with_decisions

CHOICES = {"accept": "accept", "reject": "reject", "queued": "back to the queue"}
UNCHANGED = "unchanged"


class DecideSelected(foo.Operator):
    """Decide about the selected joints; a selected pose or bounding box selects all queued joints of its person."""

    @property
    def config(self) -> foo.OperatorConfig:
        return foo.OperatorConfig(name="decide_selected", label="Decide about the selected joints", unlisted=True)

    def execute(self, ctx: Any) -> dict[str, str]:
        sample = ctx.dataset[ctx.current_sample]
        choice = ctx.params["choice"]
        if choice == "form":
            ctx.prompt("@dag/review/decide")
            return {}
        boxes = _selected_boxes(sample, ctx.selected_labels, choice)
        if not boxes:
            ctx.ops.notify("Select a joint or a person first", variant="warning")
            return {}
        for box in boxes:
            box.decision = choice
        return _save(ctx, sample, boxes)


class Decide(foo.Operator):
    """Form with all joints of a person: a decision and a visibility each."""

    @property
    def config(self) -> foo.OperatorConfig:
        return foo.OperatorConfig(name="decide", label="Decide about all joints of a person", dynamic=True)

    def resolve_placement(self, ctx: Any) -> types.Placement:
        button = types.Button(label="Decide about all joints of a person", icon="checklist", prompt=True)
        return types.Placement(types.Places.SAMPLES_VIEWER_ACTIONS, button)

    def resolve_input(self, ctx: Any) -> types.Property:
        form: Any = types.Object()
        if not ctx.current_sample:
            form.view("none", types.Warning(label="Open an image first"))
            return types.Property(form, invalid=True)
        sample = ctx.dataset[ctx.current_sample]
        person_ids = _person_ids(sample, ctx.selected_labels)
        form.enum("person", list(map(str, person_ids)), default=str(person_ids[0]), label="person", required=True)
        person_id = int(ctx.params.get("person") or person_ids[0])
        for box in _boxes_of(sample, person_id):
            choices = types.RadioGroup(orientation="horizontal")
            choices.add_choice(UNCHANGED, label=f"unchanged ({box.decision})")
            for value, label in CHOICES.items() if box.last_saved["proposed"] else []:
                choices.add_choice(value, label=label)
            for value in VISIBILITIES:
                if value != box.visibility:
                    choices.add_choice(value, label=f"flag {value}")
            name = f"{person_id}.{box.label}".replace(".", "_")
            form.enum(name, choices.values(), default=UNCHANGED, view=choices, label=box.label.replace("_", " "))
        return types.Property(form, view=types.View(label=f"Joints of person {person_id}"))

    def execute(self, ctx: Any) -> dict[str, str]:
        sample = ctx.dataset[ctx.current_sample]
        person_id = int(ctx.params["person"])
        changed = []
        for box in _boxes_of(sample, person_id):
            choice = ctx.params.get(f"{person_id}_{box.label}", UNCHANGED)
            if choice in CHOICES:
                box.decision = choice
            elif choice in VISIBILITIES:
                box.visibility = choice
            if choice != UNCHANGED:
                changed.append(box)
        return _save(ctx, sample, changed)


def _boxes_of(sample: Any, person_id: int) -> list[Any]:
    return [box for box in joint_boxes(sample) if box.person_id == person_id]


def _person_ids(sample: Any, selected: list[dict]) -> list[int]:
    """Persons with joint boxes: selected ones first, then those with queued joints, the least certain first."""
    label_ids = {each["label_id"] for each in selected}
    selected_ids = {label.person_id for label in _labels(sample) if label.id in label_ids}
    priority = {box.person_id: (False, 0.0) for box in joint_boxes(sample)}
    for box in sample.proposed_joints.detections:
        queued = box.decision == "queued"
        priority[box.person_id] = max(priority[box.person_id], (queued, box.uncertainty or 0.0))
    return sorted(priority, key=lambda person_id: (person_id in selected_ids, *priority[person_id]), reverse=True)


def _labels(sample: Any) -> list[Any]:
    poses = [pose for field in ("annotated_pose", "reviewed_pose") for pose in sample[field].keypoints]
    return [*poses, *sample.boxes.detections, *joint_boxes(sample)]


def _selected_boxes(sample: Any, selected: list[dict], choice: str) -> list[Any]:
    """Selected joint boxes with a proposal; of persons selected by another label, the queued ones (to undo: all)."""
    label_ids = {each["label_id"] for each in selected}
    boxes = [box for box in joint_boxes(sample) if box.id in label_ids and box.last_saved["proposed"]]
    person_ids = {label.person_id for label in _labels(sample) if label.id in label_ids}
    person_ids -= {box.person_id for box in boxes}
    others = [box for box in sample.proposed_joints.detections if box.person_id in person_ids]
    return [*boxes, *(box for box in others if choice == "queued" or box.decision == "queued")]


def _save(ctx: Any, sample: Any, changed: list[Any]) -> dict[str, str]:
    try:
        save_with_decisions(sample, sample.save)
    except ValueError as error:
        ctx.ops.notify(str(error), variant="error")
        return {}
    queued, decided = ctx.dataset.sum("queued_joints"), ctx.dataset.sum("decided_joints")
    text = ", ".join(f"{box.label.replace('_', ' ')}: {box.decision}" for box in changed)
    ctx.ops.notify(f"{text} ({decided} decided, {queued} queued)", variant="success")
    ctx.ops.clear_selected_labels()
    ctx.trigger("@dag/review/refresh_sample", {"sample": stringify(sample.to_mongo_dict(include_id=True))})
    return {}


def register(plugin: Any) -> None:
    """Called by FiftyOne."""
    plugin.register(DecideSelected)
    plugin.register(Decide)
