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
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.imports import ROOT

STAGES = (
    "render@synthetic", "convert@synthetic", "dedupe", "parts@synthetic", "parser@ce2p", "pool", "relabel", "cache", "train",
    "evaluate@synthetic_val",
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
    run(folder, "git", "init", "--quiet")
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", "start")
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which `dvc repro` has run."""
    folder = new_project(tmp_path_factory.mktemp("project"), "smoke")
    run(folder, "dvc", "repro")
    return folder


def test_every_stage_wrote_its_outputs(project: Path) -> None:
    assert set(lock(project)) == set(STAGES)
    metrics = json.loads((project / "results/evaluate/synthetic_val/metrics.json").read_text())
    metrics = json.loads((project / "results/evaluate/synthetic_val/all_metrics.json").read_text())
    assert list(metrics) == ["heatmap", "graph", "mean_pose"]
    assert all(0 <= one["AP"] <= 1 for one in metrics.values())
    assert metrics["AP"] == metrics["graph"]["AP"]
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
        ("convert", "evaluate"),
        ("dedupe", "pool"), ("dedupe", "relabel"), ("pool", "cache"), ("relabel", "cache"), ("relabel", "train"),
        ("cache", "train"), ("train", "evaluate"),
    }  # fmt: skip


def test_summary_shows_every_output(project: Path) -> None:
    output = run(project, sys.executable, "-m", "dag", "summary")
    for word in ("synthetic_val", "heatmap", "graph", "mean_pose", "Where to look"):
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
            address = next((line for line in app.stdout if "The App is at" in line), "it ended without a word")
            assert f"http://127.0.0.1:{port}/datasets/people" in address
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as page:
                assert page.status == 200
            app.send_signal(signal.SIGINT)
            assert app.wait(60) == 0
        finally:
            app.kill()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("share", [0.7])
def test_killed_stage_leaves_nothing_half_and_the_rerun_is_the_same(project: Path, stage: str, share: float) -> None:
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
    time.sleep(duration * share)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for path in outputs[stage]:
        assert contents(project / path) in ({}, whole[path]), f"{path} is half written"
    run(project, "dvc", "repro", "--single-item", "--force", stage)
    assert lock(project) == outputs
    assert not list(project.glob("**/*.partial"))


def test_experiments_compare(project: Path) -> None:
    rows = "{base: {model.adam: false, model.graph: false}, graph: {model.adam: false}}"
    (project / "tiny.yaml").write_text(f"seeds: [1]\nsettings: {{}}\nrows: {rows}\n")
    dag = (sys.executable, "-m", "dag")
    assert "queued 2, 0 are done or queued" in run(project, *dag, "queue", "tiny.yaml")
    assert "queued 0, 2 are done or queued" in run(project, *dag, "queue", "tiny.yaml")
    run(project, "dvc", "exp", "run", "--run-all")
    assert "queued 0, 2 are done or queued" in run(project, *dag, "queue", "tiny.yaml")
    table = json.loads(run(project, "dvc", "exp", "show", "--json"))
    shown = {row["name"]: row["revs"][0]["data"] for row in table[1]["experiments"]}
    assert set(shown) == {"tiny-base-1", "tiny-graph-1"}
    metrics = {n: d["metrics"]["results/evaluate/synthetic_val/metrics.json"]["data"] for n, d in shown.items()}
    assert shown["tiny-graph-1"]["params"]["params.yaml"]["data"]["model"]["adam"] is False
    assert metrics["tiny-graph-1"]["output"] == "graph"
    assert metrics["tiny-base-1"]["output"] == "heatmap"
    lines = run(project, *dag, "report", "--study", "tiny.yaml", "--figure", "AR50").splitlines()
    values = [metrics["AR50"] for metrics in (metrics["tiny-base-1"], metrics["tiny-graph-1"])]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "| graph | graph " in line]
    assert found == [["graph", "graph", "1", f"{100 * values[1]:.1f}", f"{100 * (values[1] - values[0]):+.1f}"]]
    assert "<svg" in (project / "tiny.html").read_text()


def test_every_stage_runs_on_real_photographs(real_data: Path, tmp_path: Path) -> None:
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
