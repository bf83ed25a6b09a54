"""Stage scripts: options, defaults, one-line errors; and the options that dvc.yaml gives them."""

import subprocess
import sys
from pathlib import Path

import pytest

from dag.errors import UserError
from dag.stage import stage_options
from tests.imports import ROOT

SCRIPT = '''
import errno, os, resource, sqlite3
from pathlib import Path
from dag.errors import UserError
from dag.stage import run

def stage(out: Path, check_images: bool = True) -> None:
    """Run."""
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
    print(out, check_images)

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
        (
            "full",
            "error: cannot write: got [Errno 28] No space left on device: 'pool.arrow'; free disk space, or check",
        ),
        ("database", "error: cannot write: got disk I/O error; free disk space, or check"),
    ],
)
def test_errors_of_the_user_are_one_line(tmp_path: Path, out: str, text: str) -> None:
    done = call(tmp_path, "--out", out)
    assert done.returncode == 1
    assert done.stderr.startswith(text)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("out", ["bug", "query"])
def test_a_bug_keeps_its_traceback(tmp_path: Path, out: str) -> None:
    assert "Traceback" in call(tmp_path, "--out", out).stderr


SMALL = """
stages:
  fit:
    cmd: >-
      python pipelines/fit.py --data ${data.folder}/all.parquet
      --out "models/${data.model.name} 1" --epochs ${epochs}
  check:
    foreach: ${data.sets}
    do:
      cmd: python datasets/${key}/check.py --root ${item.root} --out results/${key}-${epochs}.json
"""
VALUES = """
epochs: 3
data: {folder: data, model: {name: pose}, sets: {toy: {root: data/toy}, coco: {root: /mnt/coco}}}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a plain stage and a foreach stage."""
    (tmp_path / "dvc.yaml").write_text(SMALL)
    (tmp_path / "params.yaml").write_text(VALUES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_options_of_a_plain_stage(project: Path) -> None:
    assert stage_options("fit") == {"data": "data/all.parquet", "out": "models/pose 1", "epochs": "3"}
    assert stage_options("fit", project / "dvc.yaml", project / "params.yaml") == stage_options("fit")


def test_options_of_a_foreach_stage(project: Path) -> None:
    assert stage_options("check@toy") == {"root": "data/toy", "out": "results/toy-3.json"}
    assert stage_options("check@coco") == {"root": "/mnt/coco", "out": "results/coco-3.json"}


@pytest.mark.parametrize("stage", ["train", "check", "check@moon", "fit@toy", ""])
def test_unknown_stages_are_one_line(project: Path, stage: str) -> None:
    with pytest.raises(
        UserError, match=rf"^dvc.yaml: no such stage: expected one of fit, check@toy, check@coco, got '{stage}'$"
    ):
        stage_options(stage)


@pytest.mark.parametrize("missing", ["dvc.yaml", "params.yaml"])
def test_a_missing_file_is_one_line(project: Path, missing: str) -> None:
    (project / missing).unlink()
    with pytest.raises(UserError, match=rf"^{missing}: no such file; run dag-pose in the project's root$"):
        stage_options("fit")


def test_options_of_the_pipeline() -> None:
    files = ROOT / "dvc.yaml", ROOT / "params.yaml"
    assert stage_options("train", *files) == {
        "cache": "data/cache",
        "annotations": "data/training.parquet",
        "out": "models/pose",
        "results": "results/train",
    }
    assert stage_options("pool", *files)["parser"] == "models/parser/ce2p"
    assert stage_options("predict@synthetic_val", *files) == {
        "protocol": "synthetic_val",
        "annotations": "data/annotations/synthetic.parquet",
        "images": "data/images/synthetic.parquet",
        "boxes": "data/annotations/synthetic.parquet",
        "model": "models/pose",
        "out": "predictions/synthetic_val",
    }
