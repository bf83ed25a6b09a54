"""Metrics while training: whom they are of, and the picture that comes with them."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from dag.annotation import PersonAnnotation, read_annotations
from dag.boxes import boxes_of, evaluated_persons
from dag.errors import UserError
from dag.geometry import apply_affine, crop_from_box, input_from_image
from dag.inference.predictor import predict_poses
from dag.sheets.predictions import draw_pose, write_samples
from dag.skeleton import COCO17
from dag.training.validation import validation_metrics
from tests.conftest import Rendered
from tests.training_run import make_module

OPTIONS = {"input_wh": (96, 128), "batch_size": 8}


@pytest.fixture(scope="module")
def people(rendered: Rendered) -> list[PersonAnnotation]:
    return evaluated_persons(read_annotations(rendered.annotations, "val")[0])


def test_an_empty_crop_is_named_before_training(rendered: Rendered, people: list[PersonAnnotation]) -> None:
    empty = replace(people[1], bbox_xywh=people[1].bbox_xywh * [1, 1, 1, 0])
    with pytest.raises(UserError) as error:
        validation_metrics([people[0], empty], rendered.root, COCO17, **OPTIONS)
    assert str(error.value) == f"person {empty.person_id}: empty crop: expected a box with an area; repair the box"


def test_nobody_to_validate_on(rendered: Rendered, tmp_path: Path) -> None:
    metrics = validation_metrics([], rendered.root, COCO17, **OPTIONS, sheet=tmp_path / "sheet.jpg")
    assert metrics(make_module().model.eval()) == {}
    assert cv2.imread(str(tmp_path / "sheet.jpg")).min() < 128, "something is written there"


def test_figures_of_every_output_and_a_sheet(
    rendered: Rendered, people: list[PersonAnnotation], tmp_path: Path
) -> None:
    metrics = validation_metrics(people, rendered.root, COCO17, **OPTIONS, sheet=tmp_path / "sheet.jpg")
    found = metrics(make_module().model.eval())
    assert list(found) == ["heatmap_AP", "graph_AP"]
    assert all(0 <= value <= 1 for value in found.values())
    sheet = cv2.imread(str(tmp_path / "sheet.jpg"))
    shown = min(len(people), 12)
    # GroundTruth and two outputs of 194 x 258 pixels a person, four people a row.
    assert sheet.shape[1] >= 3 * 194 * min(shown, 4)
    assert sheet.shape[0] >= 258 * -(-shown // 4)


def test_a_pose_is_drawn_where_its_joints_are(people: list[PersonAnnotation]) -> None:
    person, grey = max(people, key=lambda person: person.num_keypoints), np.full((128, 96, 3), 90, np.uint8)
    affine = input_from_image(*crop_from_box(person.bbox_xywh, (96, 128)), (96, 128))
    xy, shown = apply_affine(affine, person.keypoints_xy), person.visibility > 0
    sure = np.arange(17) % 2 == 0
    picture = draw_pose(grey, xy, shown, sure, COCO17)
    assert picture.shape == (258, 194, 3)
    column, row = np.floor((xy + 0.5) * 2 - 0.5 + 0.5).astype(int).T + 1
    for joint in range(17):
        inside = 3 < column[joint] < 190 and 3 < row[joint] < 254
        near = np.hypot(*(xy - xy[joint]).T) < 6
        if inside and not (near & shown & (np.arange(17) != joint)).any():
            changed = (picture[row[joint], column[joint]] != 90).any()
            assert changed == shown[joint]
    nothing = draw_pose(grey, xy, np.zeros(17, dtype=bool), sure, COCO17)
    assert (nothing[1:-1, 1:-1] == 90).all()


def test_the_sheet_shows_what_a_model_finds(rendered: Rendered, people: list[PersonAnnotation], tmp_path: Path) -> None:
    """Another prediction changes its own picture and no other."""
    model = make_module().model.eval()
    found = predict_poses(model, boxes_of(people), rendered.root, COCO17, **OPTIONS, flip=False, workers=0)
    moved = [replace(pose, keypoints_xy=pose.keypoints_xy + 9) if pose.output == "graph" else pose for pose in found]
    sheets = []
    for name, poses in (("found.jpg", found), ("moved.jpg", moved)):
        write_samples(tmp_path / name, people[:1], poses, rendered.root, COCO17, (96, 128))
        sheets.append(cv2.imread(str(tmp_path / name)).astype(int))
    assert sheets[0].shape[1] == 3 * 194
    changed = (np.abs(sheets[0] - sheets[1]) > 60).any(axis=(0, 2)).nonzero()[0]
    assert len(changed) > 10
    assert changed.min() >= 2 * 194, "the graph's is the third picture"
