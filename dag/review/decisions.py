"""What a person did to a joint in the App -> the decision about it. Knows neither FiftyOne nor files."""

from dataclasses import dataclass
from datetime import UTC, datetime

from dag.annotation import Visibility
from dag.relabel.reviews import TIME, Decision

STANDINGS = ("queued", "automatic", "annotated")
"""What the App says of a joint until a person decides: a proposal waits, the stage took it, or there is none."""
CHOICES = (*STANDINGS, "accept", "reject")
"""What a person may choose, a standing to take back; "move" and "flag" follow from what was changed."""


@dataclass(frozen=True)
class Label:
    """Where a joint is (image pixels, pixel-index frame), its `Visibility` number and the name of its `Occluder`."""

    x: float
    y: float
    visibility: int
    occluder: str

    def is_at(self, other: "Label") -> bool:
        """Whether both are within a tenth of a pixel, which is invisible."""
        return max(abs(self.x - other.x), abs(self.y - other.y)) < 0.1

    def is_same(self, other: "Label") -> bool:
        """Nothing differs that a person can see."""
        return self.is_at(other) and (self.visibility, self.occluder) == (other.visibility, other.occluder)


@dataclass(frozen=True)
class Joint:
    """What is known of a joint before anybody decides.

    Attributes:
        person_id, name: which joint.
        before: as annotated.
        proposed: the proposed label; None for joints that nothing is proposed for.
    """

    person_id: int
    name: str
    before: Label
    proposed: Label | None

    @property
    def origin(self) -> Label:
        """What the App shows of the joint until somebody decides."""
        return self.proposed or self.before


def decide(joint: Joint, choice: str | None, shown: Label) -> tuple[str, Label]:
    """Action and new label of a joint that a person has just changed.

    Args:
        choice: one of `CHOICES` when the person chose it just now, else None.
        shown: place, visibility and occluder that the App now shows.

    Returns:
        An action of `Decision`, "withdraw" where everything is again as it was before anybody decided.
    """
    if choice in STANDINGS or (choice is None and shown.is_same(joint.origin)):
        return "withdraw", joint.before
    if choice == "reject":
        return "reject", joint.before
    if joint.proposed and choice == "accept":
        shown = Label(shown.x, shown.y, int(Visibility.RELABELLED), shown.occluder)
    label = normal(shown)
    if label.visibility != joint.origin.visibility:
        return "flag", label
    if not label.is_at(joint.origin):
        return "move", label
    return ("accept" if choice == "accept" else "flag"), label


def normal(label: Label) -> Label:
    """A label that keeps the rules of rows: unlabelled joints lie at 0, 0, and only occluded ones have an occluder."""
    if label.visibility == Visibility.UNLABELLED:
        return Label(0.0, 0.0, 0, "unknown")
    occluder = "unknown" if label.visibility == Visibility.VISIBLE else label.occluder
    return Label(round(label.x, 2), round(label.y, 2), label.visibility, occluder)


def make_decision(joint: Joint, action: str, label: Label, reviewer: str) -> Decision:
    """A decision of this moment."""
    time = datetime.now(UTC).strftime(TIME)
    name = joint.name
    x, y, visibility, occluder = label.x, label.y, label.visibility, label.occluder
    return Decision(joint.person_id, name, action, x, y, visibility, occluder, reviewer, time)  # pyright: ignore
