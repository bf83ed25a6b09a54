"""Operators of the review: one for the selected joints, with keys (keys.js), one for all joints of a person."""

from typing import Any

import fiftyone.operators as foo
from fiftyone.core.json import stringify
from fiftyone.operators import types

from dag.review import handles

CHOICES = {"accept": "accept", "reject": "reject", "queued": "back to the queue"}
LEAVE = "leave as it is"


class DecideSelected(foo.Operator):
    """Decide about the selected joints; a selected pose or box stands for all its joints that have a proposal."""

    @property
    def config(self) -> foo.OperatorConfig:
        return foo.OperatorConfig(name="decide_selected", label="Decide about the selected joints", unlisted=True)

    def execute(self, ctx: Any) -> dict[str, str]:
        sample = ctx.dataset[ctx.current_sample]
        choice = ctx.params["choice"]
        if choice == "form":
            ctx.prompt("@dag/review/decide")
            return {}
        chosen = _selected(sample, ctx.selected_labels, choice)
        if not chosen:
            ctx.ops.notify("Select a joint or a person first", variant="warning")
            return {}
        for handle in chosen:
            handle.decision = choice
        return _save(ctx, sample, chosen)


class Decide(foo.Operator):
    """A form of all joints of a person: a decision and a visibility each."""

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
        people = _people(sample, ctx.selected_labels)
        form.enum("person", list(map(str, people)), default=str(people[0]), label="person", required=True)
        person = int(ctx.params.get("person") or people[0])
        for handle in _handles(sample, person):
            choices = types.RadioGroup(orientation="horizontal")
            choices.add_choice(LEAVE, label=f"leave ({handle.decision})")
            for value, label in CHOICES.items() if handle.kept["proposed"] else []:
                choices.add_choice(value, label=label)
            for value in handles.VISIBILITIES:
                if value != handle.visibility:
                    choices.add_choice(value, label=f"flag {value}")
            name = f"{person}.{handle.label}".replace(".", "_")
            form.enum(name, choices.values(), default=LEAVE, view=choices, label=handle.label.replace("_", " "))
        return types.Property(form, view=types.View(label=f"Joints of person {person}"))

    def execute(self, ctx: Any) -> dict[str, str]:
        sample = ctx.dataset[ctx.current_sample]
        person = int(ctx.params["person"])
        changed = []
        for handle in _handles(sample, person):
            choice = ctx.params.get(f"{person}_{handle.label}", LEAVE)
            if choice in CHOICES:
                handle.decision = choice
            elif choice in handles.VISIBILITIES:
                handle.visibility = choice
            if choice != LEAVE:
                changed.append(handle)
        return _save(ctx, sample, changed)


def _handles(sample: Any, person: int) -> list[Any]:
    return [handle for handle in handles.handles_of(sample) if handle.person_id == person]


def _people(sample: Any, selected: list[dict]) -> list[int]:
    """Instances with handles: the selected one first, then those who wait, the least certain first."""
    labels = {each["label_id"] for each in selected}
    chosen = {label.person_id for label in _labels(sample) if label.id in labels}
    doubt = {handle.person_id: (0, 0.0) for handle in handles.handles_of(sample)}
    for handle in sample.proposed.detections:
        waits = handle.decision == "queued"
        doubt[handle.person_id] = max(doubt[handle.person_id], (waits, handle.uncertainty or 0.0))
    return sorted(doubt, key=lambda person: (person in chosen, *doubt[person]), reverse=True)


def _labels(sample: Any) -> list[Any]:
    poses = [pose for field in ("before", "after") for pose in sample[field].keypoints]
    return [*poses, *sample.boxes.detections, *handles.handles_of(sample)]


def _selected(sample: Any, selected: list[dict], choice: str) -> list[Any]:
    """Selected handles, and the pending proposals (to undo: all) of persons with another selected label."""
    labels = {each["label_id"] for each in selected}
    own = [handle for handle in handles.handles_of(sample) if handle.id in labels and handle.kept["proposed"]]
    people = {label.person_id for label in _labels(sample) if label.id in labels} - {handle.person_id for handle in own}
    theirs = [handle for handle in sample.proposed.detections if handle.person_id in people]
    return [*own, *(handle for handle in theirs if choice == "queued" or handle.decision == "queued")]


def _save(ctx: Any, sample: Any, changed: list[Any]) -> dict[str, str]:
    try:
        handles.save(sample, sample.save)
    except ValueError as error:
        ctx.ops.notify(str(error), variant="error")
        return {}
    queued, decided = ctx.dataset.sum("queued"), ctx.dataset.sum("decided")
    said = ", ".join(f"{handle.label.replace('_', ' ')}: {handle.decision}" for handle in changed)
    ctx.ops.notify(f"{said} ({decided} decided, {queued} wait)", variant="success")
    ctx.ops.clear_selected_labels()
    ctx.trigger("@dag/review/refresh_sample", {"sample": stringify(sample.to_mongo_dict(include_id=True))})
    return {}


def register(plugin: Any) -> None:
    """Called by FiftyOne."""
    plugin.register(DecideSelected)
    plugin.register(Decide)
