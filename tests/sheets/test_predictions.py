"""The contact sheet of predictions."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from dag.annotation import PersonAnnotation, read_annotations
from dag.boxes import boxes_of, evaluated_persons
from dag.geometry import apply_affine, crop_from_box, input_from_image
from dag.inference import predict_poses
from dag.sheets.predictions import draw_pose, write_samples
from dag.skeleton import COCO17
from tests.conftest import Rendered
from tests.training_run import make_module


@pytest.fixture(scope="module")
def persons(rendered: Rendered) -> list[PersonAnnotation]:
    return evaluated_persons(read_annotations(rendered.annotations, "val")[0])


def test_a_pose_is_drawn_at_the_locations_of_its_joints(persons: list[PersonAnnotation]) -> None:
    person, grey = max(persons, key=lambda person: person.num_keypoints), np.full((128, 96, 3), 90, np.uint8)
    affine = input_from_image(*crop_from_box(person.bbox_xywh, (96, 128)), (96, 128))
    xy, drawn = apply_affine(affine, person.keypoints_xy), person.visibility > 0
    green = np.arange(17) % 2 == 0
    image = draw_pose(grey, xy, drawn, green, COCO17)
    assert image.shape == (258, 194, 3)
    column, row = np.floor((xy + 0.5) * 2 - 0.5 + 0.5).astype(int).T + 1
    for joint in range(17):
        inside = 3 < column[joint] < 190 and 3 < row[joint] < 254
        near = np.hypot(*(xy - xy[joint]).T) < 6
        if inside and not (near & drawn & (np.arange(17) != joint)).any():
            changed = (image[row[joint], column[joint]] != 90).any()
            assert changed == drawn[joint]
    blank = draw_pose(grey, xy, np.zeros(17, dtype=bool), green, COCO17)
    assert (blank[1:-1, 1:-1] == 90).all()


def test_a_changed_prediction_changes_its_own_tile_only(
    rendered: Rendered, persons: list[PersonAnnotation], tmp_path: Path
) -> None:
    model = make_module().model.eval()
    options = {"input_wh": (96, 128), "batch_size": 8, "flip": False, "workers": 0}
    predictions = predict_poses(model, boxes_of(persons), rendered.root, COCO17, **options)
    moved = [replace(p, keypoints_xy=p.keypoints_xy + 9) if p.output == "graph" else p for p in predictions]
    sheets = []
    for name, poses in (("predictions.jpg", predictions), ("moved.jpg", moved)):
        write_samples(tmp_path / name, persons[:1], poses, rendered.root, COCO17, (96, 128))
        sheets.append(cv2.imread(str(tmp_path / name)).astype(int))
    assert sheets[0].shape[1] == 3 * 194
    changed = (np.abs(sheets[0] - sheets[1]) > 60).any(axis=(0, 2)).nonzero()[0]
    assert len(changed) > 10
    assert changed.min() >= 2 * 194, "the graph's tile is the third one"
