"""The stages `convert` and `evaluate` as commands, on photographs of lamps."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML

from dag.data.coco_json import write_coco
from dag.evaluation.mean_pose import fit_mean_pose, write_mean_pose
from dag.model import build_model
from dag.person import read_persons
from dag.skeleton import COCO17
from dag.weights import save_model
from tests.imports import ROOT
from tests.toy import people


def command(project: Path, script: str, **options: str) -> subprocess.CompletedProcess[str]:
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, str(ROOT / script), *arguments], cwd=project, env=environment, text=True, capture_output=True
    )


def convert(project: Path) -> subprocess.CompletedProcess[str]:
    return command(
        project,
        "datasets/coco/convert.py",
        root="coco",
        annotations="coco/annotations",
        out="persons/coco.parquet",
        report="results/coco.json",
    )


def evaluate(project: Path, **change: str) -> subprocess.CompletedProcess[str]:
    options = {"protocol": "toy", "persons": "persons/coco.parquet", "model": "model", "predictions": "predictions/toy"}
    return command(project, "pipelines/evaluate.py", **{**options, "metrics": "results/toy.json", **change})


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Official COCO layout with a val split only, an untrained model, and parameters that name them."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("coco/annotations", "coco/val2017", "model"):
        (folder / name).mkdir(parents=True)
    persons = people(COCO17, 6)
    write_coco(folder / "coco/annotations/person_keypoints_val2017.json", persons, COCO17)
    for path in {person.image_path for person in persons}:
        noise = np.random.default_rng(0).integers(0, 255, (400, 400, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / "coco/val2017" / path)
    yaml = YAML()
    params = yaml.load((ROOT / "params.yaml").read_text())
    params["datasets"] = {"coco": {"root": "coco", "annotations": "annotations"}}
    params["evaluate"]["protocols"] = {"toy": {"dataset": "coco", "split": "val", "boxes": "ground_truth"}}
    with (folder / "params.yaml").open("w") as stream:
        yaml.dump(params, stream)
    torch.manual_seed(0)
    save_model(build_model("hrnet_tiny", input_wh=(96, 128), adam=True, graph=True), folder / "model")
    write_mean_pose(folder / "model/mean_pose.json", fit_mean_pose(persons), COCO17)
    done = convert(folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_convert_keeps_everybody(project: Path) -> None:
    persons, skeleton = read_persons(project / "persons/coco.parquet")
    assert skeleton == COCO17
    assert [person.person_id for person in persons] == [1, 2, 3, 4, 5, 6]
    assert json.loads((project / "results/coco.json").read_text())["val"]["people"] == 6


def test_convert_ends_in_one_line(project: Path, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes((project / "params.yaml").read_bytes())
    done = convert(tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "error: coco: no annotation file: expected coco/annotations/person_keypoints_train2017.json or "
        "coco/annotations/person_keypoints_val2017.json; set datasets.coco.root\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["params.yaml"]


def test_evaluate_writes_figures_and_predictions_twice_the_same(project: Path) -> None:
    written = []
    for _ in range(2):
        done = evaluate(project)
        assert done.returncode == 0, done.stderr
        paths = [project / "results/toy.json", *sorted((project / "predictions/toy").iterdir())]
        written.append({path.name: path.read_bytes() for path in paths})
    assert written[0] == written[1]
    assert set(written[0]) == {"toy.json", "graph.json", "heatmap.json", "mean_pose.json", "predictions.parquet"}
    metrics = json.loads(written[0]["toy.json"])
    assert metrics["people"] == 6
    assert metrics["output"] == "graph"
    for output in ("heatmap", "graph", "mean_pose"):
        assert 0 <= metrics[output]["AP"] <= 1
        assert len(json.loads(written[0][f"{output}.json"])) == 6


BAD = [
    ({"protocol": "moon"}, "error: unknown protocol: expected one of toy, got moon\n"),
    ({"model": "nowhere"}, "error: nowhere/mean_pose.json: no such file; check"),
    ({"persons": "nowhere.parquet"}, "error: nowhere.parquet: not a table of person rows: got"),
]


@pytest.mark.parametrize(("change", "text"), BAD)
def test_evaluate_ends_in_one_line(project: Path, change: dict[str, str], text: str) -> None:
    done = evaluate(project, predictions="predictions/bad", metrics="results/bad.json", **change)
    assert done.returncode == 1
    assert done.stderr.startswith(text)
    assert done.stderr.count("\n") == 1
    assert not (project / "predictions/bad").exists()
    assert not (project / "results/bad.json").exists()
