"""Ground-truth boxes and detections, and the image table."""

import numpy as np
import pytest

from dag.boxes import boxes_of, crop_areas, read_detections
from dag.errors import UserError
from dag.files import write_json
from dag.image import ImageRecord, read_image_table, write_image_table
from dag.skeleton import COCO17
from tests.toy import people

IMAGES = [ImageRecord("val", 3, "val/3.jpg"), ImageRecord("val", 1, "val/1.jpg")]
BOX = {"image_id": 3, "category_id": 1, "bbox": [1.5, 2, 30, 40], "score": 0.25}


def test_ground_truth_boxes_have_score_1():
    persons = people(COCO17, 3)
    for person, box in zip(persons, boxes_of(persons)):
        np.testing.assert_array_equal(box.bbox_xywh, person.bbox_xywh)
        assert (box.image_path, box.person_id, box.score) == (person.image_path, person.person_id, 1.0)


def test_detections(tmp_path):
    other, elsewhere = {**BOX, "category_id": 17}, {**BOX, "image_id": 9}
    write_json(tmp_path / "boxes.json", [other, BOX, elsewhere, {**BOX, "image_id": 1, "score": 1}])
    first, second = read_detections(tmp_path / "boxes.json", IMAGES)
    assert (first.image_id, first.image_path, first.score, first.person_id) == (3, "val/3.jpg", 0.25, -1)
    assert first.bbox_xywh.tolist() == [1.5, 2.0, 30.0, 40.0]
    assert (second.image_path, second.score) == ("val/1.jpg", 1.0)


def test_detections_of_crowdpose(real_data):
    """The authors' detections on the test split."""
    path = real_data / "data/crowdpose/annotations/test_crowdpose_det_AP_40.json"
    boxes = read_detections(path, [ImageRecord("test", 106848, "images/106848.jpg")])
    assert len(boxes) > 1
    assert boxes[0].bbox_xywh[0] == pytest.approx(120.36583709716797)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({}, "boxes.json: not a list of detections: expected a list, got dict"),
        ([BOX, {"image_id": 3}], r"boxes.json, detection 1: not a detection: expected image_id, .*got \['image_id'\]"),
        ([{**BOX, "keypoints": [], "bbox": [1, 2, 3]}], r"detection 0: not a detection: .*got \[1, 2, 3\], 0.25"),
        ([{**BOX, "bbox": [1, 2, 0, 3]}], "detection 0: not a detection: expected left, top, width, height above 0"),
        ([{**BOX, "bbox": {"x": 1}}], "detection 0: not a detection"),
        ([{**BOX, "score": "high"}], "detection 0: not a detection: .*finite score, got .*high"),
        (
            [{**BOX, "image_id": 9}],
            "no detections on these images: expected detections on 2 images, got 1 of other images or categories",
        ),
    ],
)
def test_invalid_detections_are_one_line(tmp_path, content, text):
    write_json(tmp_path / "boxes.json", content)
    with pytest.raises(UserError, match=text):
        read_detections(tmp_path / "boxes.json", IMAGES)


def test_crop_area():
    """A box of 60 x 160 is extended to 120 x 160 (3:4) and padded by 1.25 to 150 x 200."""
    box = boxes_of([people(COCO17, 1)[0]])[0]
    square = type(box)(1, "1.jpg", np.array([0.0, 0.0, 60.0, 160.0]))
    assert crop_areas([square], (96, 128)).tolist() == [150.0 * 200.0]
    assert crop_areas([], (96, 128)).tolist() == []


def test_image_table_round_trip(tmp_path):
    path = tmp_path / "images.parquet"
    write_image_table(path, [*IMAGES, IMAGES[0], ImageRecord("train", 2, "train/2.jpg")])
    assert read_image_table(path, "val") == [IMAGES[1], IMAGES[0]]
    with pytest.raises(UserError, match="no images of this split: expected one of train, val, got 'test'"):
        read_image_table(path, "test")
    with pytest.raises(UserError, match=r"nowhere.parquet: not a table of images.*dvc repro convert"):
        read_image_table(tmp_path / "nowhere.parquet", "val")
