"""Review files: round trip, invalid lines, and merging of decisions."""

from dataclasses import replace
from pathlib import Path

import pytest

from dag.errors import UserError
from dag.relabel.reviews import Decision, merge_decisions, read_decisions, to_line, write_decisions

FIRST = Decision(7, "nose", "accept", 10.25, 20.0, 3, "object", "ann", "2026-09-14T10:00:00Z")


def later(decision: Decision, minutes: int, **changes: object) -> Decision:
    return replace(decision, time=f"2026-09-14T10:{minutes:02}:00Z", **changes)


def test_written_decisions_are_read_back_sorted_and_give_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "reviews/tiny.jsonl"
    assert read_decisions(path) == []
    other = replace(FIRST, person_id=3, joint="left_wrist", reviewer="Ödön", action="reject", visibility=0)
    write_decisions(path, [FIRST, other])
    written = path.read_bytes()
    assert read_decisions(path) == [other, FIRST]
    write_decisions(path, read_decisions(path))
    assert path.read_bytes() == written
    assert written.decode().splitlines()[1] == (
        '{"person_id": 7, "joint": "nose", "action": "accept", "x": 10.25, "y": 20.0, "visibility": 3, '
        '"occluder": "object", "reviewer": "ann", "time": "2026-09-14T10:00:00Z"}'
    )
    assert [each.name for each in path.parent.iterdir()] == ["tiny.jsonl"]
    write_decisions(path, [])
    assert read_decisions(path) == []


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            "<<<<<<< HEAD",
            r"merge conflict marker: got '<<<<<<< HEAD'; delete the markers and keep the lines",
        ),
        ("=======", r"merge conflict marker: got '======='"),
        (">>>>>>> theirs", r"merge conflict marker"),
        ("", r"not a decision: got .*truncated; correct or delete the line$"),
        ("{", r"not a decision: got .*truncated"),
        ("[]", r"not a decision: got Expected `object`, got `array`"),
        ("{}", r"not a decision: got Object missing required field `person_id`"),
        (to_line(FIRST).replace("10.25", "NaN"), r"not a decision: got JSON is malformed: invalid character"),
        (to_line(FIRST).replace("10.25", "1e999"), r"not a decision"),
        (to_line(FIRST).replace("7", '"7"', 1), r"not a decision: got Expected `int`, got `str` - at `\$.person_id`"),
        (to_line(FIRST).replace("accept", "maybe"), r"not a decision: got Invalid enum value 'maybe' - at `\$.action`"),
        (to_line(FIRST).replace(": 3", ": 4"), r"not a decision: got Invalid enum value 4 - at `\$.visibility`"),
        (to_line(FIRST).replace("object", "tree"), r"not a decision: got Invalid enum value 'tree'"),
        (to_line(FIRST).replace("T10", " 10"), r"not a decision: got time data '2026-09-14 10:00:00Z' does not match"),
        (to_line(FIRST).replace("-14T", "-31T"), r"not a decision: got .*day"),
        (to_line(FIRST).replace('"joint"', '"part"'), r"unknown field: expected person_id, joint, .*, time, got part;"),
    ],
)
def test_bad_line_is_an_error_with_its_number(tmp_path: Path, line: str, text: str) -> None:
    path = tmp_path / "tiny.jsonl"
    path.write_text(to_line(FIRST) + line.rstrip("\n") + "\n" + to_line(later(FIRST, 1)))
    with pytest.raises(UserError, match=rf"tiny\.jsonl, line 2: {text}"):
        read_decisions(path)


def test_invalid_utf8_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "tiny.jsonl"
    path.write_bytes(to_line(FIRST).encode().replace(b"ann", b"\xff\xfe"))
    with pytest.raises(UserError, match=r"line 1: not a decision"):
        read_decisions(path)


def test_latest_decision_stands_in_any_order() -> None:
    second = later(FIRST, 5, action="move", x=11.0)
    for lists in ([[FIRST], [second]], [[second], [FIRST]], [[second, FIRST, FIRST]]):
        assert merge_decisions(*lists) == ([second], [])


def test_different_labels_by_different_reviewers_are_conflicts() -> None:
    other = later(FIRST, 5, reviewer="bob", action="reject", visibility=0, x=0.0, y=0.0, occluder="unknown")
    standing, conflicts = merge_decisions([FIRST], [other])
    assert standing == [other]
    assert [str(each) for each in conflicts] == [
        "person 7, nose: reject by bob at 2026-09-14T10:05:00Z overrides accept by ann at 2026-09-14T10:00:00Z"
    ]
    agreed = later(FIRST, 6, reviewer="bob")
    assert merge_decisions([FIRST], [agreed]) == ([agreed], [])
    assert merge_decisions([FIRST, other], [agreed]) == ([agreed], []), "bob's later decision agrees"


def test_decisions_of_one_second_merge_the_same_in_any_order() -> None:
    other = replace(FIRST, reviewer="bob", x=12.0)
    assert merge_decisions([FIRST], [other]) == merge_decisions([other], [FIRST])


def test_last_decision_within_a_second_counts() -> None:
    rejected = replace(FIRST, action="reject", x=0.0, y=0.0, visibility=0, occluder="unknown")
    assert merge_decisions([FIRST], [rejected]) == ([rejected], [])
    assert merge_decisions([rejected], [FIRST]) == ([FIRST], [])


def test_withdraw_cancels_only_the_own_decision() -> None:
    undone = later(FIRST, 5, action="withdraw")
    assert merge_decisions([FIRST], [undone]) == ([], [])
    assert merge_decisions([FIRST], [replace(undone, reviewer="bob")]) == ([FIRST], [])
    again = later(FIRST, 6)
    assert merge_decisions([again, FIRST], [undone]) == ([again], [])
    changed = later(FIRST, 6, action="move", x=12.0)
    assert merge_decisions([FIRST], [changed, undone]) == ([changed], [])


def test_file_that_git_merged_by_union_is_read(tmp_path: Path) -> None:
    path = tmp_path / "tiny.jsonl"
    second = later(FIRST, 5, reviewer="bob", x=12.0)
    path.write_text(to_line(second) + to_line(FIRST))
    assert read_decisions(path) == [second]


def test_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "reviews").write_text("a file, not a folder")
    with pytest.raises(
        UserError, match=r"reviews/tiny\.jsonl: cannot be written: got File exists; check the permissions"
    ):
        write_decisions(tmp_path / "reviews/tiny.jsonl", [FIRST])
