"""What people decided about joints: `reviews/<dataset>.jsonl`, sorted, one decision a line, kept in git."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from dag.errors import UserError
from dag.files import whole_file

MARKERS = (b"<<<<<<<", b"|||||||", b"=======", b">>>>>>>")
TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Decision:
    """The whole new label of one joint.

    Attributes:
        person_id: the annotation's id.
        joint: its name.
        action: a proposal was accepted, rejected or moved, or the joint's flag was changed. "withdraw" takes back what
            the reviewer decided before; merging uses it up, so it never stands.
        x, y: image pixels, pixel-index frame; as annotated after "reject".
        visibility: `dag.annotation.Visibility` number; 3 after "accept" or "move", as annotated after "reject".
        occluder: name of the `dag.annotation.Occluder`, lower case.
        reviewer: who decided.
        time: when, as 2026-01-31T23:59:59Z.
    """

    person_id: int
    joint: str
    action: Literal["accept", "reject", "move", "flag", "withdraw"]
    x: float
    y: float
    visibility: Literal[0, 1, 2, 3]
    occluder: Literal["unknown", "object", "person", "self", "frame"]
    reviewer: str
    time: str

    @property
    def key(self) -> tuple[int, str]:
        """Which joint of whom; files are sorted by it."""
        return self.person_id, self.joint

    @property
    def label(self) -> tuple[float, float, int, str]:
        """What the joint is to become."""
        return self.x, self.y, self.visibility, self.occluder


NAMES = [field.name for field in fields(Decision)]


@dataclass(frozen=True)
class Conflict:
    """Different labels of one joint by different reviewers: the decision that stands, and those it overrides."""

    stands: Decision
    others: tuple[Decision, ...]

    def __str__(self) -> str:
        told = [f"{one.action} by {one.reviewer} at {one.time}" for one in (self.stands, *self.others)]
        return f"person {self.stands.person_id}, {self.stands.joint}: {told[0]} stands, against {', '.join(told[1:])}"


def read_decisions(path: str | Path) -> list[Decision]:
    """The standing decision of every joint in a file, sorted by person and joint; none where the file is missing.

    Raises:
        UserError: a line is not a decision or is a mark of a merge conflict; the text has its number.
    """
    return merge_decisions(read_lines(path))[0]


def read_lines(path: str | Path) -> list[Decision]:
    """As `read_decisions`, but every line in its order, overridden ones too: a git merge may leave several a joint."""
    path = Path(path)
    lines = path.read_bytes().removesuffix(b"\n").split(b"\n") if path.exists() else []
    if lines == [b""]:
        return []
    return [parse_line(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1)]


def parse_line(line: bytes, where: str) -> Decision:
    """One line of json.

    Raises:
        UserError: it is not a decision.
    """
    if line.startswith(MARKERS):
        do = "keep the lines of both sides, without the marks: `dag-pose review --collect` then merges them"
        raise UserError("mark of a merge conflict", where=where, got=repr(line[:40].decode(errors="replace")), do=do)
    do = "repair or delete the line"
    try:
        found = msgspec.json.decode(line)
        unknown = sorted(set(found) - set(NAMES)) if isinstance(found, dict) else []
        if unknown:
            raise UserError("unknown field", where=where, expected=", ".join(NAMES), got=", ".join(unknown), do=do)
        decision = msgspec.convert(found, Decision)
        datetime.strptime(decision.time, TIME)
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as error:
        raise UserError("not a decision", where=where, got=error, do=do) from None
    return decision


def merge_decisions(*lists: Iterable[Decision]) -> tuple[list[Decision], list[Conflict]]:
    """Of every joint the decision with the latest time, sorted.

    The order of `lists` is of no matter, but for what one reviewer decided within a second: the last of that stands.

    Returns:
        The standing decisions, and the joints that different reviewers gave different labels. Only each reviewer's
        own last decision is asked.
    """
    latest: dict[tuple[int, str], dict[str, Decision]] = defaultdict(dict)
    for decision in sorted((each for one in lists for each in one), key=lambda each: (each.time, each.reviewer)):
        latest[decision.key].pop(decision.reviewer, None)
        latest[decision.key][decision.reviewer] = decision
    standing, conflicts = [], []
    for _, by_reviewer in sorted(latest.items()):
        kept = [each for each in by_reviewer.values() if each.action != "withdraw"]
        if not kept:
            continue
        *before, last = kept
        standing.append(last)
        others = tuple(each for each in before if each.label != last.label)
        if others:
            conflicts.append(Conflict(last, others))
    return standing, conflicts


def write_decisions(path: str | Path, decisions: Iterable[Decision]) -> None:
    """Write the standing decisions, sorted, one a line, whole or not at all; the same decisions give the same bytes.

    Raises:
        UserError: the file cannot be written.
    """
    lines = [to_line(each) for each in merge_decisions(decisions)[0]]
    try:
        with whole_file(path) as partial:
            partial.write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise UserError("cannot be written", where=path, got=error.strerror, do="check its folder's rights") from None


def to_line(decision: Decision) -> str:
    """A decision as json with a line's end; raises ValueError for NaN."""
    return json.dumps(asdict(decision), ensure_ascii=False, allow_nan=False) + "\n"
