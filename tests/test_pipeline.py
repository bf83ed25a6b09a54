"""Every stage end to end, small, as a user runs it: dvc in a project of its own."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.imports import ROOT
from tests.test_docs import readme_commands

STAGES = (
    "render@synthetic", "convert@synthetic", "dedupe", "parts@synthetic", "parser@ce2p", "pool", "relabel",
    "cache", "train", "predict@synthetic_val", "evaluate@synthetic_val",
)  # fmt: skip
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "PYTHONPATH": ".",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "test",
    "GIT_AUTHOR_EMAIL": "test@example.org",
    "GIT_COMMITTER_NAME": "test",
    "GIT_COMMITTER_EMAIL": "test@example.org",
}


def run(project: Path, *command: str) -> str:
    """Run a command in a project; its output, or a failed test that shows it."""
    done = subprocess.run(command, cwd=project, env=ENVIRONMENT, text=True, capture_output=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def lock(project: Path) -> dict:
    """Hashes of every stage's outputs."""
    stages = YAML(typ="safe").load((project / "dvc.lock").read_text())["stages"]
    return {name: {out["path"]: out["md5"] for out in stage["outs"]} for name, stage in stages.items()}


def contents(path: Path) -> dict[str, str]:
    """Hash of every file at or below a path; nothing where there is nothing."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def new_project(folder: Path, preset: str) -> Path:
    """A copy of this project's sources as a git repository with a preset."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    for name in listed.stdout.split("\n"):
        if name and (ROOT / name).is_file() and not name.startswith(("results/", "dvc.lock")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    run(folder, sys.executable, "-m", "dag", "params", "use", preset)
    run(folder, "git", "init", "--quiet", "--initial-branch", "main")
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", "start")
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which `dvc repro` has run."""
    folder = new_project(tmp_path_factory.mktemp("project"), "smoke")
    run(folder, "dvc", "repro")
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", "results")
    return folder


def test_every_stage_wrote_its_outputs(project: Path) -> None:
    assert set(lock(project)) == set(STAGES)
    metrics = json.loads((project / "results/evaluate/synthetic_val/metrics.json").read_text())
    all_metrics = json.loads((project / "results/evaluate/synthetic_val/all_metrics.json").read_text())
    assert list(all_metrics) == ["heatmap", "graph", "mean_pose"]
    assert all(0 <= one["AP"] <= 1 for one in all_metrics.values())
    assert metrics["AP"] == all_metrics["graph"]["AP"]
    assert metrics["instances"] > 5
    for output in ("heatmap", "graph", "mean_pose"):
        results = json.loads((project / f"predictions/synthetic_val/{output}.json").read_text())
        assert len(results) == metrics["instances"]
    assert not list(project.glob("**/*.partial"))
    assert not list((project / ".dag").glob("*/*/*")), "a finished stage leaves no scratch"


def test_a_second_repro_does_nothing(project: Path) -> None:
    before = (project / "dvc.lock").read_bytes()
    output = run(project, "dvc", "repro")
    assert "Data and pipelines are up to date" in output
    assert (project / "dvc.lock").read_bytes() == before


def test_the_graph_is_the_design(project: Path) -> None:
    edges = set()
    for line in run(project, "dvc", "dag", "--dot").splitlines():
        if "->" in line:
            a, b = (part.strip(' ";') for part in line.split("->"))
            edges.add((a.split("@")[0], b.split("@")[0]))
    assert edges == {
        ("render", "convert"), ("render", "parts"), ("parts", "parser"), ("convert", "dedupe"), ("convert", "relabel"),
        ("convert", "predict"), ("convert", "evaluate"),
        ("dedupe", "pool"), ("dedupe", "relabel"), ("pool", "cache"), ("relabel", "cache"), ("relabel", "train"),
        ("cache", "train"), ("train", "predict"), ("predict", "evaluate"),
    }  # fmt: skip


def test_summary_shows_every_output(project: Path) -> None:
    output = run(project, sys.executable, "-m", "dag", "summary")
    for word in ("synthetic_val", "heatmap", "graph", "mean_pose", "Outputs: "):
        assert word in output


def test_app_finds_what_the_pipeline_wrote(project: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
    command = [sys.executable, "-m", "dag", "app", "--port", str(port)]
    with subprocess.Popen(
        command, cwd=project, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as app:
        try:
            assert app.stdout is not None
            address = next((line for line in app.stdout if "The App is at" in line), "it ended without an address")
            assert f"http://127.0.0.1:{port}/datasets/" in address
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as page:
                assert page.status == 200
            app.send_signal(signal.SIGINT)
            assert app.wait(60) == 0
        finally:
            app.kill()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("fraction", [0.7])
def test_killed_stage_leaves_nothing_half_and_the_rerun_is_the_same(project: Path, stage: str, fraction: float) -> None:
    outputs = lock(project)
    started = time.monotonic()
    run(project, "dvc", "repro", "--single-item", "--force", stage)
    duration = time.monotonic() - started
    assert lock(project) == outputs, "the same inputs gave other bytes"
    whole = {path: contents(project / path) for path in outputs[stage]}
    process = subprocess.Popen(
        ["dvc", "repro", "--single-item", "--force", stage], cwd=project, env=ENVIRONMENT, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(duration * fraction)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for path in outputs[stage]:
        assert contents(project / path) in ({}, whole[path]), f"{path} is half written"
    run(project, "dvc", "repro", "--single-item", "--force", stage)
    assert lock(project) == outputs
    assert not list(project.glob("**/*.partial"))


def changed_stages(project: Path) -> set[str]:
    """Stages that DVC would run because one of their own dependencies changed."""
    return set(json.loads(run(project, "dvc", "status", "--json")))


@contextmanager
def edited(path: Path, old: str, new: str) -> Iterator[None]:
    """A file with one text replaced while the block lasts."""
    text = path.read_text()
    assert old in text, f"{path} has no {old!r}"
    path.write_text(text.replace(old, new))
    try:
        yield
    finally:
        path.write_text(text)


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        ("dag/callbacks/progress.py", "images/s", "images per second", set()),
        ("dag/sheets/drawing.py", '"""', '"""Reworded. ', set()),
        ("dag/report/summary.py", '"""', '"""Reworded. ', set()),
        ("dag/review/dataset.py", '"""', '"""Reworded. ', set()),
        ("dvc.yaml", "precision over recall", "precision against recall", set()),
        ("dag/evaluation/plots.py", '"""', '"""Reworded. ', {"evaluate@synthetic_val"}),
        ("dag/training/loss.py", '"""', '"""Changed. ', {"train"}),
        ("dag/augmentation/occlusion.py", '"""', '"""Changed. ', {"cache", "train"}),
        ("dag/inference/nms.py", '"""', '"""Changed. ', {"train", "predict@synthetic_val"}),
    ],
)
def test_an_edit_reruns_what_depends_on_it(project: Path, file: str, old: str, new: str, changed: set[str]) -> None:
    assert changed_stages(project) == set()
    with edited(project / file, old, new):
        assert changed_stages(project) == changed


def test_another_loss_reruns_training_prediction_and_evaluation(project: Path) -> None:
    before = lock(project)
    with edited(project / "dag/training/loss.py", "return ", "return 2 * "):
        run(project, "dvc", "repro")
        after = lock(project)
    assert {name for name in before if before[name] != after[name]} == {
        "train", "predict@synthetic_val", "evaluate@synthetic_val",
    }  # fmt: skip
    run(project, "dvc", "repro")
    assert lock(project) == before


def test_experiments_compare(project: Path) -> None:
    study = "{base: {model.adam: false, model.graph: false}, graph: {model.adam: false}}"
    (project / "tiny.yaml").write_text(f"seeds: [1]\nsettings: {{}}\nrows: {study}\n")
    dag = (sys.executable, "-m", "dag")
    assert "queued 2, already done or queued 0" in run(project, *dag, "queue", "tiny.yaml")
    assert "queued 0, already done or queued 2" in run(project, *dag, "queue", "tiny.yaml")
    run(project, "dvc", "exp", "run", "--run-all")
    assert "queued 0, already done or queued 2" in run(project, *dag, "queue", "tiny.yaml")
    table = json.loads(run(project, "dvc", "exp", "show", "--json"))
    shown = {row["name"]: row["revs"][0]["data"] for row in table[1]["experiments"]}
    assert set(shown) == {"tiny-base-1", "tiny-graph-1"}
    metrics = {n: d["metrics"]["results/evaluate/synthetic_val/metrics.json"]["data"] for n, d in shown.items()}
    assert shown["tiny-graph-1"]["params"]["params.yaml"]["data"]["model"]["adam"] is False
    assert metrics["tiny-graph-1"]["output"] == "graph"
    assert metrics["tiny-base-1"]["output"] == "heatmap"
    lines = run(project, *dag, "report", "--study", "tiny.yaml", "--metric", "AR50").splitlines()
    values = [metrics["AR50"] for metrics in (metrics["tiny-base-1"], metrics["tiny-graph-1"])]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "| graph | graph " in line]
    assert rows == [["graph", "graph", "1", f"{100 * values[1]:.1f}", f"{100 * (values[1] - values[0]):+.1f}"]]
    assert "<svg" in (project / "tiny.html").read_text()


def test_the_commands_of_the_readme_run(project: Path) -> None:
    """In the order of the README, but for those that other tests run (`RUN_ELSEWHERE`)."""
    annotations = project / "data/synthetic/annotations/person_keypoints_val.json"
    files = {"GROUND_TRUTH.json": str(annotations), "RESULTS.json": "predictions/synthetic_val/graph.json"}
    for command in readme_commands():
        if command not in RUN_ELSEWHERE:
            for name, path in files.items():
                command = command.replace(name, path)
            # The environment of the tests stands for the one that `make` would create in the project.
            output = run(project, "bash", "-c", command.replace("make repro", "make -o .venv/installed repro"))
            assert output, f"{command} printed nothing"
    assert (project / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert (project / "models/pose.onnx").stat().st_size > 100_000


RUN_ELSEWHERE = {
    "make test": "this suite",
    "dag-pose app": "test_app_finds_what_the_pipeline_wrote",
    "dag-pose app --compare main no-adam": "tests/review/test_app.py",
    "dag-pose fetch coco --accept": "tests/convert/test_download.py",
    "dag-pose review": "tests/review/test_review_app.py",
}
"""Commands of the README that need a browser or a server, or run this file, and the tests that run them."""


def test_every_stage_runs_on_real_images(real_data: Path, tmp_path: Path) -> None:
    """The COCO sample with its real parsing network, and two epochs instead of a hundred."""
    project = new_project(tmp_path, "sample_coco")
    params = (project / "params.yaml").read_text()
    for long, short in (("epochs: 100", "epochs: 2"), ("validate_every: 25", "validate_every: 2")):
        assert long in params
        params = params.replace(long, short)
    (project / "params.yaml").write_text(params)
    assert f"root: {real_data}/data/coco" in params
    run(project, "dvc", "repro")
    metrics = json.loads((project / "results/evaluate/coco_val/metrics.json").read_text())
    assert metrics["instances"] == 112
    metrics = json.loads((project / "results/evaluate/ochuman_test/metrics.json").read_text())
    assert metrics["instances"] == 5
    assert json.loads((project / "results/pool/metrics.json").read_text())["accepted"] >= 5
    relabelled = json.loads((project / "results/relabel/metrics.json").read_text())
    assert relabelled["occluded"]["decided"]["object"] > 100
    assert relabelled["unlabelled"]["joints"] > 1000
    assert relabelled["recovery"]["ours"]["OKS50"] > relabelled["recovery"]["nearest_joint"]["OKS50"] + 0.1
    assert 0.85 <= relabelled["recovery"]["region90"] <= 0.96
    gt = json.loads((real_data / "data/coco/annotations/person_keypoints_val2017.json").read_text())
    relabelled = json.loads((project / "data/relabelled/person_keypoints_val_re.json").read_text())
    keypoints = {person["id"]: person["keypoints"] for person in relabelled["annotations"]}
    for person in gt["annotations"]:
        before, after = person["keypoints"], keypoints[person["id"]]
        joints = [(before[i : i + 3], after[i : i + 3]) for i in range(0, len(before), 3)]
        assert all(old[:2] == new[:2] for old, new in joints if old[2] > 0), "a labelled joint has moved"
        assert all(old[2] == new[2] or (old[2] < 2 and new[2] == 3) for old, new in joints)
    annotated, re = (
        json.loads((project / f"results/evaluate/{name}/metrics.json").read_text()) for name in ("coco_val", "coco_re")
    )
    assert "relabelled_joints" not in annotated
    assert re["relabelled_joints"]["relabelled"] > 100
    assert re["relabelled_joints"]["proposed"] >= 3
