"""`dag-pose` as a process: help is fast, errors are one line."""

import subprocess
import sys
import time

import pytest

from tests.imports import ROOT

COMMANDS = [
    [], ["params"], ["params", "list"], ["params", "use"], ["params", "check"], ["summary"], ["app"], ["review"],
    ["fetch"], ["export"], ["weights"], ["evaluate"], ["submission"],
    ["report"], ["plots-page"],
]  # fmt: skip


def dag_pose(*arguments: str, cwd: object = ROOT) -> subprocess.CompletedProcess:
    """Run dag-pose in a process of its own."""
    command = [sys.executable, "-m", "dag", *arguments]
    return subprocess.run(
        command, cwd=str(cwd), env={"PYTHONPATH": str(ROOT), "PATH": ""}, text=True, capture_output=True
    )


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_is_fast(command: list[str]) -> None:
    started = time.monotonic()
    done = dag_pose(*command, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout
    assert time.monotonic() - started < 5, "the goal is 1 s on an idle machine; more than 5 s means a heavy import"


def test_help_imports_nothing_heavy() -> None:
    heavy = ("torch", "cv2", "fiftyone", "pyarrow", "dvc")
    code = f"import sys, dag.cli.main; print([module for module in {heavy} if module in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("params", "use", "default"), "error: presets: no such folder; run dag-pose in the project's root"),
        (("params", "check"), "error: params.yaml: no such file; `dag-pose params use default` writes one"),
        (("summary",), "error: params.yaml: no such file; `dag-pose params use default` writes one"),
        (("report",), "error: workspace: no params.yaml; run dag-pose in the project's root"),
        (("app",), "error: params.yaml: no such file"),
    ],
)
def test_errors_are_one_line(tmp_path: object, arguments: tuple[str, ...], text: str) -> None:
    done = dag_pose(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(text)
    assert done.stderr.count("\n") == 1
