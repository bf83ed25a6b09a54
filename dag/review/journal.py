"""Decisions on disk at once: the App appends to a journal, `collect` merges that into `reviews/<dataset>.jsonl`."""

import fcntl
import getpass
import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dag.errors import UserError
from dag.relabel.reviews import Conflict, Decision, merge_decisions, parse_line, read_lines, to_line, write_decisions

SPACE = "check the folder's rights and the disk's space"


@dataclass(frozen=True)
class Collected:
    """What `collect` did.

    Attributes:
        decisions: that stand now.
        new: how many of them were not in the file.
        conflicts: joints that reviewers do not agree about.
        cut: the journal's last line was cut off by a kill, before the App said that it was saved; it was left out.
    """

    decisions: list[Decision]
    new: int
    conflicts: list[Conflict]
    cut: bool


def journal_path(state_dir: str | Path, dataset: str) -> Path:
    """Where the decisions about a data set wait to be collected."""
    return Path(state_dir).resolve() / "review" / f"{dataset}.jsonl"


def append(journal: str | Path, decisions: Iterable[Decision]) -> None:
    """Put decisions at the journal's end; they are on the disk when this returns.

    Raises:
        UserError: it cannot be written.
    """
    text = "".join(map(to_line, decisions))
    with _lock(Path(journal)), Path(journal).open("ab", buffering=0) as file:
        size = file.tell()
        try:
            file.write(text.encode())
            os.fsync(file.fileno())
        except OSError as error:
            file.truncate(size)
            raise UserError("cannot be written", where=journal, got=error.strerror, do=SPACE) from None


def collect(reviews: str | Path, journal: str | Path) -> Collected:
    """Merge the journal into the file of reviews, by time, and remove it; doing it again changes nothing.

    Other processes may append meanwhile: that waits. Killed at any moment, it leaves the file whole, old or new, and
    no decision lost.

    Raises:
        UserError: a malformed line, or a file that cannot be written; nothing has been changed then.
    """
    reviews, journal = Path(reviews), Path(journal)
    with _lock(journal):
        before = read_lines(reviews)
        noted, cut = _read_journal(journal)
        standing, conflicts = merge_decisions(before, noted)
        if standing != before:
            write_decisions(reviews, standing)
        journal.unlink(missing_ok=True)
    return Collected(standing, len(set(standing) - set(before)), conflicts, cut)


def describe(collected: Collected, reviews: str | Path) -> list[str]:
    """What `collect` did, in lines for the person at the keyboard."""
    lines = [f"conflict: {conflict}" for conflict in collected.conflicts]
    if collected.cut:
        lines.append("the last decision was cut off by a kill before it was saved: decide again")
    return [*lines, f"{reviews}: {len(collected.decisions)} decisions, {collected.new} of them new"]


def default_reviewer() -> str:
    """git's user.name, else the name of the account."""
    try:
        answer = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True)
    except OSError:
        return getpass.getuser()
    return answer.stdout.strip() or getpass.getuser()


def check_writable(reviews: str | Path, journal: str | Path) -> None:
    """Make sure that decisions can be kept, before anybody makes one.

    Raises:
        UserError: a folder cannot be written to.
    """
    append(journal, [])
    folder = Path(reviews).resolve().parent
    probe = folder / ".probe.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError("cannot be written to", where=folder, got=error.strerror, do="check its rights") from None


def _read_journal(journal: Path) -> tuple[list[Decision], bool]:
    *lines, last = journal.read_bytes().split(b"\n") if journal.exists() else [b""]
    found = [parse_line(line, f"{journal}, line {number}") for number, line in enumerate(lines, start=1)]
    return found, bool(last)


@contextmanager
def _lock(journal: Path) -> Iterator[None]:
    try:
        journal.parent.mkdir(parents=True, exist_ok=True)
        lock = journal.with_suffix(".lock").open("w")
    except OSError as error:
        raise UserError("cannot be written", where=journal, got=error.strerror, do=SPACE) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
