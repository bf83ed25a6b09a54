"""Journal of review decisions: the App appends each decision; `collect` merges them into `reviews/<dataset>.jsonl`."""

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

CHECK_FOLDER = "check the permissions of its folder and the free disk space"


@dataclass(frozen=True)
class Collected:
    """Result of `collect`.

    Attributes:
        decisions: the standing decisions.
        new: number of decisions that were not in the reviews file.
        conflicts: joints with different labels by different reviewers.
        truncated: the process was killed while it wrote the journal's last line; that decision was not reported as
            saved and is dropped.
    """

    decisions: list[Decision]
    new: int
    conflicts: list[Conflict]
    truncated: bool


def journal_path(state_dir: str | Path, dataset: str) -> Path:
    """Path of the journal of a data set."""
    return Path(state_dir).resolve() / "review" / f"{dataset}.jsonl"


def append(journal: str | Path, decisions: Iterable[Decision]) -> None:
    """Append decisions to the journal; they are on disk (fsync) on return.

    Raises:
        UserError: the journal cannot be written.
    """
    text = "".join(map(to_line, decisions))
    with _lock(Path(journal)), Path(journal).open("ab", buffering=0) as file:
        size = file.tell()
        try:
            file.write(text.encode())
            os.fsync(file.fileno())
        except OSError as error:
            file.truncate(size)
            raise UserError("cannot be written", where=journal, got=error.strerror, do=CHECK_FOLDER) from None


def collect(reviews: str | Path, journal: str | Path) -> Collected:
    """Merge the journal into the reviews file, by time, and remove the journal. Idempotent.

    `append` in other processes waits meanwhile. If the process is killed, the reviews file is complete, old or new, and
    no decision is lost.

    Raises:
        UserError: a line is malformed, or a file cannot be written; both files are unchanged then.
    """
    reviews, journal = Path(reviews), Path(journal)
    with _lock(journal):
        before = read_lines(reviews)
        added, truncated = _read_journal(journal)
        standing, conflicts = merge_decisions(before, added)
        if standing != before:
            write_decisions(reviews, standing)
        journal.unlink(missing_ok=True)
    return Collected(standing, len(set(standing) - set(before)), conflicts, truncated)


def describe(collected: Collected, reviews: str | Path) -> list[str]:
    """Lines of text for the user about the result of `collect`."""
    lines = [f"conflict: {conflict}" for conflict in collected.conflicts]
    if collected.truncated:
        lines.append("the App was killed before the last decision was saved: repeat that decision")
    return [*lines, f"{reviews}: {len(collected.decisions)} decisions, {collected.new} of them new"]


def default_reviewer() -> str:
    """git's user.name, or the name of the user account."""
    try:
        name = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True)
    except OSError:
        return getpass.getuser()
    return name.stdout.strip() or getpass.getuser()


def check_writable(reviews: str | Path, journal: str | Path) -> None:
    """Raise an error unless the reviews file and the journal can be written.

    Raises:
        UserError: a folder is not writable.
    """
    append(journal, [])
    folder = Path(reviews).resolve().parent
    probe = folder / ".probe.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError("cannot be written to", where=folder, got=error.strerror, do="check its permissions") from None


def _read_journal(journal: Path) -> tuple[list[Decision], bool]:
    """Decisions of the complete lines, and whether the last line is incomplete."""
    *lines, last = journal.read_bytes().split(b"\n") if journal.exists() else [b""]
    decisions = [parse_line(line, f"{journal}, line {number}") for number, line in enumerate(lines, start=1)]
    return decisions, bool(last)


@contextmanager
def _lock(journal: Path) -> Iterator[None]:
    try:
        journal.parent.mkdir(parents=True, exist_ok=True)
        lock = journal.with_suffix(".lock").open("w")
    except OSError as error:
        raise UserError("cannot be written", where=journal, got=error.strerror, do=CHECK_FOLDER) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
