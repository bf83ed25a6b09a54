"""Atomic files and folders, json, hashes, paths below a root."""

from pathlib import Path

import pytest

from dag.errors import UserError
from dag.files import inside, read_json, sha256, shared_file, whole_file, whole_folder, write_json


def _fail_in(context: object) -> None:
    with context as partial:
        if partial.is_dir():
            (partial / "half").write_text("half")
        else:
            partial.write_text("half")
        raise RuntimeError("killed")


def test_a_failed_write_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("before")
    with pytest.raises(RuntimeError):
        _fail_in(whole_file(tmp_path / "file"))
    with pytest.raises(RuntimeError):
        _fail_in(shared_file(tmp_path / "file"))
    with pytest.raises(RuntimeError):
        _fail_in(whole_folder(tmp_path / "folder"))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file": "before"}


def test_a_folder_replaces_the_old_one_and_a_partial_one(tmp_path: Path) -> None:
    for folder in ("out", ".out.partial"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "old").write_text("old")
    with whole_folder(tmp_path / "out") as partial:
        (partial / "new").write_text("new")
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["out", "out/new"]


def test_a_shared_file_may_be_written_twice_at_once(tmp_path: Path) -> None:
    with shared_file(tmp_path / "file") as first, shared_file(tmp_path / "file") as second:
        first.write_text("same")
        second.write_text("same")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file": "same"}


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/../../b"])
def test_names_that_leave_the_root_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="file name leaves the data root: expected a path below it, got"):
        inside(tmp_path, name)


def test_names_below_the_root_are_accepted(tmp_path: Path) -> None:
    assert inside(tmp_path, "train2017/0..1.jpg") == tmp_path / "train2017" / "0..1.jpg"


def test_json(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": 1})
    assert read_json(tmp_path / "a.json") == {"a": 1}
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(UserError, match=r"b.json: not a json file"):
        read_json(tmp_path / "b.json")
    with pytest.raises(UserError, match="no such file"):
        read_json(tmp_path / "c.json")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "d.json", float("nan"))
    assert not (tmp_path / "d.json").exists()
