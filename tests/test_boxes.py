"""Boxes to look into, and the images they are on."""

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


def test_own_boxes_count_1():
    persons = people(COCO17, 3)
    for person, box in zip(persons, boxes_of(persons)):
        np.testing.assert_array_equal(box.bbox_xywh, person.bbox_xywh)
        assert (box.image_path, box.person_id, box.score) == (person.image_path, person.person_id, 1.0)


def test_boxes_of_a_detector(tmp_path):
    other, elsewhere = {**BOX, "category_id": 17}, {**BOX, "image_id": 9}
    write_json(tmp_path / "boxes.json", [other, BOX, elsewhere, {**BOX, "image_id": 1, "score": 1}])
    first, second = read_detections(tmp_path / "boxes.json", IMAGES)
    assert (first.image_id, first.image_path, first.score, first.person_id) == (3, "val/3.jpg", 0.25, -1)
    assert first.bbox_xywh.tolist() == [1.5, 2.0, 30.0, 40.0]
    assert (second.image_path, second.score) == ("val/1.jpg", 1.0)


def test_crowdpose_detections(real_data):
    """The authors' own file of boxes on the test split."""
    path = real_data / "data/crowdpose/annotations/test_crowdpose_det_AP_40.json"
    boxes = read_detections(path, [ImageRecord("test", 106848, "images/106848.jpg")])
    assert len(boxes) > 1
    assert boxes[0].bbox_xywh[0] == pytest.approx(120.36583709716797)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({}, "boxes.json: not a detector's boxes: expected a list, got dict"),
        ([BOX, {"image_id": 3}], r"boxes.json, box 1: not a detector's box: expected image_id, .*got \['image_id'\]"),
        ([{**BOX, "keypoints": [], "bbox": [1, 2, 3]}], r"box 0: not a detector's box: .*got \[1, 2, 3\], 0.25"),
        ([{**BOX, "bbox": [1, 2, 0, 3]}], "box 0: not a detector's box: expected left, top, width, height above 0"),
        ([{**BOX, "bbox": {"x": 1}}], "box 0: not a detector's box"),
        ([{**BOX, "score": "high"}], "box 0: not a detector's box: .*finite score, got .*high"),
        ([{**BOX, "image_id": 9}], "no box to look into: expected boxes on 2 images, got 1 boxes, all elsewhere"),
    ],
)
def test_bad_boxes_are_one_line(tmp_path, content, text):
    write_json(tmp_path / "boxes.json", content)
    with pytest.raises(UserError, match=text):
        read_detections(tmp_path / "boxes.json", IMAGES)


def test_area_is_the_crops():
    """A box of 60 x 160 becomes 120 x 160 at 3:4, and 1.25 times that: 150 x 200."""
    box = boxes_of([people(COCO17, 1)[0]])[0]
    square = type(box)(1, "1.jpg", np.array([0.0, 0.0, 60.0, 160.0]))
    assert crop_areas([square], (96, 128)).tolist() == [150.0 * 200.0]
    assert crop_areas([], (96, 128)).tolist() == []


def test_photographs_are_read_as_written(tmp_path):
    path = tmp_path / "images.parquet"
    write_image_table(path, [*IMAGES, IMAGES[0], ImageRecord("train", 2, "train/2.jpg")])
    assert read_image_table(path, "val") == [IMAGES[1], IMAGES[0]]
    with pytest.raises(UserError, match="no images of this split: expected one of train, val, got 'test'"):
        read_image_table(path, "test")
    with pytest.raises(UserError, match=r"nowhere.parquet: not a table of images.*dvc repro convert"):
        read_image_table(tmp_path / "nowhere.parquet", "val")
