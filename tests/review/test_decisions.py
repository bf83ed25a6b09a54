"""Decisions from edited joints, and the journal that saves them."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dag.errors import UserError
from dag.params import load_params
from dag.relabel.reviews import Decision, read_decisions, read_lines, to_line, write_decisions
from dag.review.decisions import Joint, Label, decide, make_decision
from dag.review.journal import append, check_writable, collect, default_reviewer, describe, journal_path
from tests.imports import ROOT

UNLABELLED = Label(0.0, 0.0, 0, "unknown")
PROPOSED = Label(30.0, 40.0, 3, "object")
WRIST = Joint(7, "left_wrist", UNLABELLED, PROPOSED)
ELBOW = Joint(7, "left_elbow", Label(20.0, 25.0, 2, "unknown"), None)


@pytest.mark.parametrize(
    ("joint", "choice", "edited", "action", "label"),
    [
        (WRIST, "accept", PROPOSED, "accept", PROPOSED),
        (WRIST, "reject", PROPOSED, "reject", UNLABELLED),
        (WRIST, None, replace(PROPOSED, x=33.337), "move", Label(33.34, 40.0, 3, "object")),
        (WRIST, "accept", replace(PROPOSED, x=33.0), "move", Label(33.0, 40.0, 3, "object")),
        (WRIST, "accept", replace(PROPOSED, visibility=1), "accept", PROPOSED),
        (WRIST, "accept", replace(PROPOSED, occluder="self"), "accept", Label(30.0, 40.0, 3, "self")),
        (WRIST, None, replace(PROPOSED, occluder="self"), "flag", Label(30.0, 40.0, 3, "self")),
        (WRIST, None, replace(PROPOSED, visibility=2), "flag", Label(30.0, 40.0, 2, "unknown")),
        (WRIST, None, replace(PROPOSED, visibility=0), "flag", UNLABELLED),
        (WRIST, None, replace(PROPOSED, x=30.05), "withdraw", UNLABELLED),
        (WRIST, "queued", replace(PROPOSED, x=50.0), "withdraw", UNLABELLED),
        (WRIST, "automatic", replace(PROPOSED, visibility=2), "withdraw", UNLABELLED),
        (ELBOW, None, replace(ELBOW.annotated, visibility=1), "flag", Label(20.0, 25.0, 1, "unknown")),
        (ELBOW, None, Label(20.0, 25.0, 1, "person"), "flag", Label(20.0, 25.0, 1, "person")),
        (ELBOW, None, replace(ELBOW.annotated, y=26.0), "move", Label(20.0, 26.0, 2, "unknown")),
        (ELBOW, None, ELBOW.annotated, "withdraw", ELBOW.annotated),
    ],
)
def test_edit_becomes_action_and_label(
    joint: Joint, choice: str | None, edited: Label, action: str, label: Label
) -> None:
    assert decide(joint, choice, edited) == (action, label)


def a_decision(number: int, **changes: object) -> Decision:
    return replace(make_decision(WRIST, "accept", PROPOSED, "ann"), person_id=number, **changes)


def test_collecting_merges_the_journal_once(tmp_path: Path) -> None:
    reviews, journal = tmp_path / "reviews/tiny.jsonl", tmp_path / "state/tiny.jsonl"
    write_decisions(reviews, [a_decision(1)])
    append(journal, [a_decision(3), a_decision(2)])
    collected = collect(reviews, journal)
    assert ([each.person_id for each in collected.decisions], collected.new) == ([1, 2, 3], 2)
    assert describe(collected, reviews) == [f"{reviews}: 3 decisions, 2 of them new"]
    assert not journal.exists()
    written = reviews.read_bytes(), reviews.stat().st_mtime_ns
    assert collect(reviews, journal).new == 0
    assert (reviews.read_bytes(), reviews.stat().st_mtime_ns) == written


def test_collecting_lists_conflicts_of_two_reviewers(tmp_path: Path) -> None:
    reviews, journal = tmp_path / "tiny.jsonl", tmp_path / "state/tiny.jsonl"
    old = a_decision(1, time="2026-01-01T00:00:00Z", reviewer="bob", x=12.0)
    write_decisions(reviews, [old])
    new = a_decision(1)
    append(journal, [new])
    first, last = describe(collect(reviews, journal), reviews)
    text = f"conflict: person 1, left_wrist: accept by ann at {new.time} overrides accept by bob at {old.time}"
    assert first == text
    assert last.endswith("1 decisions, 1 of them new")
    assert read_decisions(reviews) == [new]


def test_withdrawn_decision_is_removed_from_the_file(tmp_path: Path) -> None:
    reviews, journal = tmp_path / "tiny.jsonl", tmp_path / "state/tiny.jsonl"
    write_decisions(reviews, [a_decision(1), a_decision(2)])
    append(journal, [a_decision(1, action="withdraw")])
    assert [each.person_id for each in collect(reviews, journal).decisions] == [2]


def test_truncated_line_is_reported_and_dropped(tmp_path: Path) -> None:
    reviews, journal = tmp_path / "tiny.jsonl", tmp_path / "state/tiny.jsonl"
    append(journal, [a_decision(1), a_decision(2)])
    journal.write_bytes(journal.read_bytes()[:-30])
    collected = collect(reviews, journal)
    assert [each.person_id for each in collected.decisions] == [1]
    assert "killed before the last decision was saved" in describe(collected, reviews)[0]


@pytest.mark.parametrize("bad", ["reviews", "journal"])
def test_bad_line_changes_nothing(tmp_path: Path, bad: str) -> None:
    paths = {"reviews": tmp_path / "tiny.jsonl", "journal": tmp_path / "state/tiny.jsonl"}
    write_decisions(paths["reviews"], [a_decision(1)])
    append(paths["journal"], [a_decision(2)])
    with paths[bad].open("a") as file:
        file.write("<<<<<<< HEAD\n")
    before = {name: path.read_bytes() for name, path in paths.items()}
    with pytest.raises(UserError, match=rf"^{paths[bad]}, line 2: merge conflict marker"):
        collect(paths["reviews"], paths["journal"])
    assert {name: path.read_bytes() for name, path in paths.items()} == before


def test_folders_that_cannot_be_written_are_reported_before_the_review(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"/file: cannot be written to: got .*exists; check its permissions$"):
        check_writable(tmp_path / "file/tiny.jsonl", tmp_path / "state/tiny.jsonl")
    with pytest.raises(
        UserError, match=r"file/tiny\.jsonl: cannot be written: got .*; check the permissions of its folder and"
    ):
        check_writable(tmp_path / "reviews/tiny.jsonl", tmp_path / "file/tiny.jsonl")
    if os.getuid() == 0:
        return  # nothing is read-only for root
    (tmp_path / "locked").mkdir(mode=0o555)
    with pytest.raises(UserError, match=r"cannot be written to: got Permission denied"):
        check_writable(tmp_path / "locked/reviews/tiny.jsonl", tmp_path / "state/tiny.jsonl")


APPEND = """
import sys
from dataclasses import replace
from dag.relabel.reviews import parse_line
from dag.review.journal import append
decision = parse_line(sys.argv[2].encode(), "argument")
for number in range(10**6):
    append(sys.argv[1], [replace(decision, person_id=number)])
    print(number, flush=True)
"""


def test_saved_decisions_survive_a_kill_and_concurrent_collecting(tmp_path: Path) -> None:
    reviews, journal = tmp_path / "tiny.jsonl", tmp_path / "state/tiny.jsonl"
    command = [sys.executable, "-c", APPEND, str(journal), to_line(a_decision(0))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    with process.stdout:
        assert process.stdout.readline() == "0\n"
        for _ in range(5):
            collect(reviews, journal)
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        saved = [int(line) for line in process.stdout.read().split("\n")[:-1]]
    process.wait()
    collected = {each.person_id for each in collect(reviews, journal).decisions}
    assert collected >= set(range(saved[-1] + 1)), "all that were reported as saved"
    assert len(collected) <= saved[-1] + 2


def test_append_writes_whole_lines(tmp_path: Path) -> None:
    append(tmp_path / "tiny.jsonl", [a_decision(1)])
    append(tmp_path / "tiny.jsonl", [a_decision(2), a_decision(1, action="withdraw")])
    assert [each.action for each in read_lines(tmp_path / "tiny.jsonl")] == ["accept", "accept", "withdraw"]


def test_default_reviewer_is_the_git_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = Ann Other\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.chdir(tmp_path)
    assert default_reviewer() == "Ann Other"
    (tmp_path / ".gitconfig").write_text("")
    monkeypatch.setenv("LOGNAME", "ann")
    assert default_reviewer() == "ann"


def test_command_collects_without_a_server(tmp_path: Path) -> None:
    shutil.copy(ROOT / "presets/default.yaml", tmp_path / "params.yaml")
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    journal = journal_path(tmp_path / ".dag", load_params(tmp_path / "params.yaml").data.dataset)
    append(journal, [a_decision(1)])
    command = [sys.executable, "-m", "dag", "review", "--collect"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run() -> subprocess.CompletedProcess:
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    file = f"reviews/{journal.name}"
    assert run().stdout == f"{file}: 1 decisions, 1 of them new\n"
    assert [each.person_id for each in read_decisions(tmp_path / file)] == [1]
    assert run().stdout == f"{file}: 1 decisions, 0 of them new\n"
    (tmp_path / file).write_text("=======\n")
    failed = run()
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"error: {file}, line 1: merge conflict marker")
    assert failed.stderr.count("\n") == 1
