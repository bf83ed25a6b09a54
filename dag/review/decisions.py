"""Derives a review decision from an edited joint. Imports no FiftyOne and opens no files."""

from dataclasses import dataclass
from datetime import UTC, datetime

from dag.annotation import Visibility
from dag.relabel.reviews import TIME, Decision

UNDECIDED = ("queued", "automatic", "annotated")
"""States of an undecided joint: its proposal is queued, was accepted by the relabel stage, or does not exist."""
CHOICES = (*UNDECIDED, "accept", "reject")
"""What a reviewer can choose; an undecided state withdraws the decision. "move" and "flag" follow from the edit."""
SAME_LOCATION = 0.1
"""Pixels; a smaller displacement is not visible."""


@dataclass(frozen=True)
class Label:
    """Label of a joint: image pixels (pixel-index frame), `Visibility` value, `Occluder` name in lower case."""

    x: float
    y: float
    visibility: int
    occluder: str

    def is_at(self, other: "Label") -> bool:
        """Whether both labels have the same location, within `SAME_LOCATION` per axis."""
        return max(abs(self.x - other.x), abs(self.y - other.y)) < SAME_LOCATION

    def is_same(self, other: "Label") -> bool:
        """Whether both labels have the same location, visibility and occluder."""
        return self.is_at(other) and (self.visibility, self.occluder) == (other.visibility, other.occluder)


@dataclass(frozen=True)
class Joint:
    """A joint before review.

    Attributes:
        person_id, name: which joint.
        annotated: the label as annotated.
        proposed: the proposed label; None if there is no proposal.
    """

    person_id: int
    name: str
    annotated: Label
    proposed: Label | None

    @property
    def initial(self) -> Label:
        """The label that the App shows before review."""
        return self.proposed or self.annotated


def decide(joint: Joint, choice: str | None, edited: Label) -> tuple[str, Label]:
    """Action and new label of an edited joint.

    Args:
        choice: one of `CHOICES` if the reviewer chose it in this edit, else None.
        edited: location, visibility and occluder after the edit.

    Returns:
        An action of `Decision`; "withdraw" if the joint is again as before review.
    """
    if choice in UNDECIDED or (choice is None and edited.is_same(joint.initial)):
        return "withdraw", joint.annotated
    if choice == "reject":
        return "reject", joint.annotated
    if joint.proposed and choice == "accept":
        edited = Label(edited.x, edited.y, int(Visibility.RELABELLED), edited.occluder)
    label = normalized(edited)
    if label.visibility != joint.initial.visibility:
        return "flag", label
    if not label.is_at(joint.initial):
        return "move", label
    return ("accept" if choice == "accept" else "flag"), label


def normalized(label: Label) -> Label:
    """The label by the rules of annotations: unlabelled joints are at 0, 0; only occluded joints have an occluder."""
    if label.visibility == Visibility.UNLABELLED:
        return Label(0.0, 0.0, 0, "unknown")
    occluder = "unknown" if label.visibility == Visibility.VISIBLE else label.occluder
    return Label(round(label.x, 2), round(label.y, 2), label.visibility, occluder)


def make_decision(joint: Joint, action: str, label: Label, reviewer: str) -> Decision:
    """A decision with the current time."""
    time = datetime.now(UTC).strftime(TIME)
    x, y, visibility, occluder = label.x, label.y, label.visibility, label.occluder
    return Decision(joint.person_id, joint.name, action, x, y, visibility, occluder, reviewer, time)  # pyright: ignore
