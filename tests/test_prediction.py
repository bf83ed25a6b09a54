"""Files of predictions: the folder of stage predict, COCO results, the submission zip."""

import json
import zipfile

import pytest

from dag.annotation import read_split, write_annotations
from dag.convert.coco import write_coco
from dag.errors import UserError
from dag.evaluation import evaluate_keypoints
from dag.evaluation.coco.average_precision import coco_metrics
from dag.prediction import read_predictions, write_prediction_folder, write_submission
from dag.skeleton import COCO17


def test_submission_is_what_the_server_takes(tmp_path, toy_predictions):
    path = write_submission(tmp_path, toy_predictions[:3], split="test-dev", name="dag-w32")
    assert path.name == "person_keypoints_test-dev2017_dag-w32_results.zip"
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["person_keypoints_test-dev2017_dag-w32_results.json"]
        entries = json.loads(archive.read(archive.namelist()[0]))
    assert [set(entry) for entry in entries] == [{"image_id", "category_id", "keypoints", "score"}] * 3
    assert entries[1]["keypoints"][:2] == toy_predictions[1].keypoints_xy[0].tolist()
    with pytest.raises(UserError, match="no predictions to submit"):
        write_submission(tmp_path, [], split="test-dev", name="x")
    with pytest.raises(UserError, match=r"not a name: expected letters.*got '../x'"):
        write_submission(tmp_path, toy_predictions, split="test-dev", name="../x")


def test_a_split_without_annotations_is_empty(tmp_path, toy_persons):
    write_annotations(tmp_path / "toy_persons.parquet", toy_persons, COCO17)
    assert read_split(tmp_path / "toy_persons.parquet", "test-dev") == ([], COCO17)
    assert len(read_split(tmp_path / "toy_persons.parquet", "val")[0]) == 12


def test_files_hold_what_was_predicted(tmp_path, toy_persons, toy_predictions):
    write_prediction_folder(tmp_path / "out", toy_predictions, COCO17)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "graph.json",
        "heatmap.json",
        "predictions.parquet",
    ]
    again, skeleton = read_predictions(tmp_path / "out/predictions.parquet")
    assert skeleton == COCO17
    assert [(p.output, p.person_id) for p in again] == [(p.output, p.person_id) for p in toy_predictions]
    write_coco(tmp_path / "ground_truth.json", toy_persons, COCO17)
    for output, found in (("heatmap", toy_predictions[:10]), ("graph", toy_predictions[10:])):
        metrics = evaluate_keypoints(tmp_path / "ground_truth.json", tmp_path / f"out/{output}.json")
        assert metrics["AP"] == coco_metrics(toy_persons, found, COCO17)["AP"]
    results = json.loads((tmp_path / "out/graph.json").read_text())
    assert results[0]["person_id"] == 1
    assert results[0]["keypoints"][2] == toy_predictions[10].joint_scores[0]


def test_the_same_predictions_give_the_same_bytes(tmp_path, toy_predictions):
    for name in ("one", "two"):
        write_prediction_folder(tmp_path / name, toy_predictions, COCO17)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
