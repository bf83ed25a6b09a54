"""How a stage script ends: options, defaults, one line for what the user can repair."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.imports import ROOT

SCRIPT = '''
import errno, os, resource, sqlite3
from pathlib import Path
from dag.errors import UserError
from dag.stage import run

def stage(out: Path, images: bool = True) -> None:
    """Do it."""
    if out.name == "user":
        raise UserError("wrong", where="here")
    if out.name == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "pool.arrow")
    if out.name == "database":
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
        sqlite3.connect(out).execute("create table t as select zeroblob(100000)")
    if out.name == "query":
        sqlite3.connect(":memory:").execute("select * from t")
    if out.name == "bug":
        raise OSError(errno.ENOTCONN, "a bug")
    print(out, images)

run(stage)
'''


def call(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "stage.py").write_text(SCRIPT)
    command = [sys.executable, "stage.py", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)})


@pytest.mark.parametrize(("options", "text"), [([], "x True"), (["--no-check-images"], "x False")])
def test_parameters_are_options(tmp_path: Path, options: list[str], text: str) -> None:
    assert call(tmp_path, "--out", "x", *options).stdout.strip() == text


def test_an_option_without_default_must_be_given(tmp_path: Path) -> None:
    done = call(tmp_path)
    assert done.returncode == 2
    assert "--out" in done.stderr


@pytest.mark.parametrize(
    ("out", "text"),
    [
        ("user", "error: here: wrong\n"),
        ("full", "error: cannot write: got [Errno 28] No space left on device: 'pool.arrow'; make room, or look"),
        ("database", "error: cannot write: got disk I/O error; make room, or look"),
    ],
)
def test_what_the_user_can_mend_is_one_line(tmp_path: Path, out: str, text: str) -> None:
    done = call(tmp_path, "--out", out)
    assert done.returncode == 1
    assert done.stderr.startswith(text)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("out", ["bug", "query"])
def test_a_bug_is_not_hidden(tmp_path: Path, out: str) -> None:
    assert "Traceback" in call(tmp_path, "--out", out).stderr
