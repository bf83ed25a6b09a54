"""Review files: reviewers' decisions about joints in `reviews/<dataset>.jsonl`, sorted, one per line, kept in git."""

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
    """A reviewer's decision about one joint, with the complete new label.

    Attributes:
        person_id: the annotation's id.
        joint: the joint's name.
        action: a proposal was accepted, rejected or moved, or the joint's visibility was changed ("flag"). "withdraw"
            cancels the reviewer's earlier decision; merging removes both.
        x, y: image pixels, pixel-index frame; as annotated after "reject".
        visibility: `dag.annotation.Visibility` number; 3 after "accept" or "move", as annotated after "reject".
        occluder: name of the `dag.annotation.Occluder`, lower case.
        reviewer: name.
        time: UTC, as 2026-01-31T23:59:59Z.
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
        """Person id and joint. Files are sorted by it."""
        return self.person_id, self.joint

    @property
    def label(self) -> tuple[float, float, int, str]:
        """The new label: x, y, visibility, occluder."""
        return self.x, self.y, self.visibility, self.occluder


NAMES = [field.name for field in fields(Decision)]


@dataclass(frozen=True)
class Conflict:
    """Different labels of one joint by different reviewers: the standing decision and those that it overrides."""

    standing: Decision
    others: tuple[Decision, ...]

    def __str__(self) -> str:
        standing, *others = (f"{one.action} by {one.reviewer} at {one.time}" for one in (self.standing, *self.others))
        joint = f"person {self.standing.person_id}, {self.standing.joint}"
        return f"{joint}: {standing} overrides {', '.join(others)}"


def read_decisions(path: str | Path) -> list[Decision]:
    """Standing decision of every joint in a file, sorted by person and joint; empty if the file does not exist.

    Raises:
        UserError: a line is not a decision or is a merge conflict marker; the text has the line number.
    """
    return merge_decisions(read_lines(path))[0]


def read_lines(path: str | Path) -> list[Decision]:
    """All decisions of a file, in order. A git merge may leave several decisions per joint."""
    path = Path(path)
    lines = path.read_bytes().removesuffix(b"\n").split(b"\n") if path.exists() else []
    if lines == [b""]:
        return []
    return [parse_line(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1)]


def parse_line(line: bytes, where: str) -> Decision:
    """Decision from one line of json.

    Raises:
        UserError: the line is not a decision.
    """
    if line.startswith(MARKERS):
        do = "delete the markers and keep the lines of both sides: `dag-pose review --collect` merges them"
        raise UserError("merge conflict marker", where=where, got=repr(line[:40].decode(errors="replace")), do=do)
    do = "correct or delete the line"
    try:
        value = msgspec.json.decode(line)
        unknown = sorted(set(value) - set(NAMES)) if isinstance(value, dict) else []
        if unknown:
            raise UserError("unknown field", where=where, expected=", ".join(NAMES), got=", ".join(unknown), do=do)
        decision = msgspec.convert(value, Decision)
        datetime.strptime(decision.time, TIME)
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as error:
        raise UserError("not a decision", where=where, got=error, do=do) from None
    return decision


def merge_decisions(*lists: Iterable[Decision]) -> tuple[list[Decision], list[Conflict]]:
    """Latest decision of every joint, sorted by person and joint.

    The result does not depend on the order of `lists`, except for one reviewer's decisions about one joint within the
    same second, of which the last one counts.

    Returns:
        The standing decisions, and the joints with different labels by different reviewers. Only the last decision of
        each reviewer is considered.
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
    """Write the standing decisions, sorted, one per line, atomically. The same decisions give the same bytes.

    Raises:
        UserError: the file cannot be written.
    """
    lines = [to_line(each) for each in merge_decisions(decisions)[0]]
    try:
        with whole_file(path) as partial:
            partial.write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise UserError(
            "cannot be written", where=path, got=error.strerror, do="check the permissions of its folder"
        ) from None


def to_line(decision: Decision) -> str:
    """A decision as one line of json.

    Raises:
        ValueError: a coordinate is NaN or infinite.
    """
    return json.dumps(asdict(decision), ensure_ascii=False, allow_nan=False) + "\n"
