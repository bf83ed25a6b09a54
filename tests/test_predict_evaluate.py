"""Stages `convert`, `predict` and `evaluate` as commands, on images of noise."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML

from dag.annotation import read_annotations
from dag.convert.coco import write_coco
from dag.evaluation import evaluate_keypoints
from dag.inference.mean_pose import fit_mean_pose, write_mean_pose
from dag.models.pose import build_model
from dag.models.weights import save_model
from dag.prediction import read_predictions
from dag.skeleton import COCO17
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
        out="annotations/coco.parquet",
        images="images/coco.parquet",
        report="results/coco.json",
    )


def predict(project: Path, protocol: str = "toy", **change: str) -> subprocess.CompletedProcess[str]:
    options = {
        "protocol": protocol,
        "annotations": "annotations/coco.parquet",
        "images": "images/coco.parquet",
        "boxes": "annotations/coco.parquet",
        "model": "model",
        "out": f"predictions/{protocol}",
    }
    return command(project, "pipelines/predict.py", **{**options, **change})


def evaluate(project: Path, protocol: str = "toy", **change: str) -> subprocess.CompletedProcess[str]:
    options = {
        "protocol": protocol,
        "annotations": "annotations/coco.parquet",
        "images": "images/coco.parquet",
        "predictions": f"predictions/{protocol}",
        "results": f"results/{protocol}",
    }
    return command(project, "pipelines/evaluate.py", **{**options, **change})


def predict_and_evaluate(project: Path, protocol: str = "toy", **change: str) -> None:
    for done in (predict(project, protocol, **change), evaluate(project, protocol)):
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with COCO files of a val split and a test-dev split, converted, and an untrained model."""
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
    table = "annotations/coco.parquet"
    params["evaluate"]["protocols"] = {
        "toy": {"dataset": "coco", "split": "val", "annotations": table, "boxes": table},
        "detected": {"dataset": "coco", "split": "val", "annotations": table, "boxes": "boxes.json"},
        "test_dev": {"dataset": "coco", "split": "test-dev", "annotations": table, "boxes": "boxes.json"},
    }
    with (folder / "params.yaml").open("w") as stream:
        yaml.dump(params, stream)
    torch.manual_seed(0)
    save_model(build_model("hrnet_tiny", input_wh=(96, 128), adam=True, graph=True), folder / "model")
    _write_test_dev(folder / "coco")
    boxes = [
        {"image_id": person.image_id, "category_id": 1, "bbox": person.bbox_xywh.tolist(), "score": 0.5}
        for person in [*persons, persons[0]]
    ]
    (folder / "boxes.json").write_text(json.dumps([*boxes, {**boxes[0], "image_id": 900}]))
    write_mean_pose(folder / "model/mean_pose.json", fit_mean_pose(persons), COCO17)
    done = convert(folder)
    assert done.returncode == 0, done.stderr
    return folder


def _write_test_dev(folder: Path) -> None:
    """An image without annotations, as COCO's test-dev."""
    (folder / "test2017").mkdir()
    Image.fromarray(np.zeros((300, 300, 3), dtype=np.uint8)).save(folder / "test2017/900.png")
    images = [{"id": 900, "file_name": "900.png", "width": 300, "height": 300}]
    (folder / "annotations/image_info_test-dev2017.json").write_text(json.dumps({"images": images}))


def test_convert_keeps_all_persons(project: Path) -> None:
    persons, skeleton = read_annotations(project / "annotations/coco.parquet")
    assert skeleton == COCO17
    assert [person.person_id for person in persons] == [1, 2, 3, 4, 5, 6]
    assert json.loads((project / "results/coco.json").read_text())["val"]["instances"] == 6


def test_errors_of_convert_are_one_line(project: Path, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes((project / "params.yaml").read_bytes())
    done = convert(tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "error: coco: no annotation file: expected coco/annotations/person_keypoints_train2017.json or "
        "coco/annotations/person_keypoints_val2017.json; set datasets.coco.root\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["params.yaml"]


def test_predictions_and_metrics_are_complete_and_deterministic(project: Path) -> None:
    written = []
    for _ in range(2):
        predict_and_evaluate(project)
        folders = (project / "results/toy", project / "predictions/toy")
        paths = [path for folder in folders for path in folder.rglob("*.*")]
        written.append({path.name: path.read_bytes() for path in paths})
    assert written[0] == written[1]
    predictions = {"graph.json", "heatmap.json", "mean_pose.json", "predictions.parquet"}
    plots = {path.name for path in (project / "results/toy/plots").iterdir()}
    assert set(written[0]) == {"metrics.json", "all_metrics.json", *predictions, *plots}
    assert len(plots) == 5
    headline, metrics = (json.loads(written[0][name]) for name in ("metrics.json", "all_metrics.json"))
    assert (headline["instances"], headline["output"]) == (6, "graph")
    assert headline["AP"] == metrics["graph"]["AP"]
    assert headline["heatmap"]["AP"] == metrics["heatmap"]["AP"]
    for output in ("heatmap", "graph", "mean_pose"):
        assert 0 <= metrics[output]["AP"] <= 1
        again = evaluate_keypoints(
            project / "coco/annotations/person_keypoints_val2017.json", project / f"predictions/toy/{output}.json"
        )
        assert again["AP"] == pytest.approx(metrics[output]["AP"], abs=1e-12)
        assert again["diagnosis.all.miss_joints"] == metrics[output]["diagnosis"]["all"]["miss_joints"]


def test_boxes_of_a_detector_are_scored_and_suppressed(project: Path) -> None:
    """One person has two boxes: NMS keeps one of the poses; the box on an image of another split is left out."""
    predict_and_evaluate(project)
    predict_and_evaluate(project, "detected", boxes="boxes.json")
    predictions, _ = read_predictions(project / "predictions/detected/predictions.parquet")
    poses = [pose for pose in predictions if pose.output == "mean_pose"]
    assert len(poses) == 6
    assert {(pose.score, pose.person_id) for pose in poses} == {(0.5, -1)}
    ground_truth_boxes = json.loads((project / "results/toy/all_metrics.json").read_text())
    detected = json.loads((project / "results/detected/all_metrics.json").read_text())
    assert detected["mean_pose"]["AP"] == ground_truth_boxes["mean_pose"]["AP"]
    assert detected["mean_pose"]["instances"] == 6


def test_a_split_without_annotations_is_predicted_for_the_server(project: Path) -> None:
    predict_and_evaluate(project, "test_dev", boxes="boxes.json")
    metrics = json.loads((project / "results/test_dev/metrics.json").read_text())
    assert (metrics["instances"], metrics["AP"]) == (0, None)
    shutil.copy(ROOT / "dvc.yaml", project / "dvc.yaml")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-m", "dag", "submission", "dag-w32", "--protocol", "test_dev"]
    done = subprocess.run(arguments, cwd=project, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(project / "person_keypoints_test-dev2017_dag-w32_results.zip") as archive:
        (entry,) = json.loads(archive.read("person_keypoints_test-dev2017_dag-w32_results.json"))
    assert entry["image_id"] == 900


PREDICT_ERRORS = [
    ({"protocol": "moon"}, "error: params.yaml: unknown protocol: expected one of toy, detected, test_dev, got 'moon'"),
    ({"model": "nowhere"}, "error: nowhere/config.json: no such file; check"),
    ({"annotations": "nowhere.parquet"}, "error: nowhere.parquet: not a table of annotations: got"),
]
EVALUATE_ERRORS = [
    ({"protocol": "moon"}, "error: params.yaml: unknown protocol: expected one of toy, detected, test_dev, got 'moon'"),
    ({"predictions": "nowhere"}, "error: nowhere/predictions.parquet: not a table of predictions: got"),
    ({"annotations": "nowhere.parquet"}, "error: nowhere.parquet: not a table of annotations: got"),
]


@pytest.mark.parametrize(("change", "text"), PREDICT_ERRORS)
def test_errors_of_predict_are_one_line(project: Path, change: dict[str, str], text: str) -> None:
    assert_one_line(predict(project, **{"out": "predictions/bad", **change}), text)
    assert not (project / "predictions/bad").exists()


@pytest.mark.parametrize(("change", "text"), EVALUATE_ERRORS)
def test_errors_of_evaluate_are_one_line(project: Path, change: dict[str, str], text: str) -> None:
    assert_one_line(evaluate(project, **{"results": "results/bad", **change}), text)
    assert not (project / "results/bad").exists()


def assert_one_line(done: subprocess.CompletedProcess[str], text: str) -> None:
    assert done.returncode == 1
    assert done.stderr.startswith(text)
    assert done.stderr.count("\n") == 1
