"""Validation metrics during training, and the contact sheet written with them."""

from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from dag.annotation import PersonAnnotation, read_annotations
from dag.boxes import evaluated_persons
from dag.errors import UserError
from dag.skeleton import COCO17
from dag.training.validation import validation_metrics
from tests.conftest import Rendered
from tests.training_run import make_module

OPTIONS = {"input_wh": (96, 128), "batch_size": 8}


@pytest.fixture(scope="module")
def persons(rendered: Rendered) -> list[PersonAnnotation]:
    return evaluated_persons(read_annotations(rendered.annotations, "val")[0])


def test_an_empty_bounding_box_is_reported_before_training(rendered: Rendered, persons: list[PersonAnnotation]) -> None:
    empty = replace(persons[1], bbox_xywh=persons[1].bbox_xywh * [1, 1, 1, 0])
    with pytest.raises(UserError) as error:
        validation_metrics([persons[0], empty], rendered.root, COCO17, **OPTIONS)
    expected = "expected width and height above 0; correct the annotation"
    assert str(error.value) == f"person {empty.person_id}: empty bounding box: {expected}"


def test_no_evaluated_persons_no_metrics(rendered: Rendered, tmp_path: Path) -> None:
    metrics = validation_metrics([], rendered.root, COCO17, **OPTIONS, sheet=tmp_path / "sheet.jpg")
    assert metrics(make_module().model.eval()) == {}
    assert cv2.imread(str(tmp_path / "sheet.jpg")).min() < 128, "the sheet has a text"


def test_no_evaluated_persons_where_metrics_are_required(rendered: Rendered, persons: list[PersonAnnotation]) -> None:
    crowd = replace(persons[0], is_crowd=True)
    with pytest.raises(UserError) as error:
        validation_metrics([crowd], rendered.root, COCO17, **OPTIONS, required=True)
    expected = "expected persons with labelled joints; set train.checkpoint: last and train.early_stop: 0"
    assert str(error.value) == f"val split: no evaluated persons: {expected}"
    validation_metrics(persons, rendered.root, COCO17, **OPTIONS, required=True)


def test_metrics_of_every_output_and_a_sheet(
    rendered: Rendered, persons: list[PersonAnnotation], tmp_path: Path
) -> None:
    metrics = validation_metrics(persons, rendered.root, COCO17, **OPTIONS, sheet=tmp_path / "sheet.jpg")
    values = metrics(make_module().model.eval())
    assert list(values) == ["heatmap_AP", "graph_AP"]
    assert all(0 <= value <= 1 for value in values.values())
    sheet = cv2.imread(str(tmp_path / "sheet.jpg"))
    drawn = min(len(persons), 12)
    # Ground truth and two outputs of 194 x 258 pixels per person, four persons per row.
    assert sheet.shape[1] >= 3 * 194 * min(drawn, 4)
    assert sheet.shape[0] >= 258 * -(-drawn // 4)
