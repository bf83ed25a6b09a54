"""COCO json to annotations and back: nothing is lost, every fault is reported."""

import contextlib
import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from dag.annotation import Occluder, Source
from dag.convert.coco import coco_dict, read_coco, write_coco
from dag.errors import UserError
from dag.skeleton import COCO17

KEYPOINTS = [value for joint in range(17) for value in (10 + joint + 0.1, 20.7, 2 - joint % 2)]


def content():
    """Two persons and a crowd region on one image of 60 x 50 pixels."""
    square = [10, 10, 40, 10, 40, 40, 10, 40]
    person = {"image_id": 5, "category_id": 1, "iscrowd": 0, "bbox": [10.25, 10, 30, 30.5], "area": 700.123456789}
    return {
        "images": [{"id": 5, "file_name": "a.png", "width": 60, "height": 50, "crowdIndex": 0.5}],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO17.joints)}],
        "annotations": [
            {**person, "id": 1, "keypoints": [7, 7, 0] + KEYPOINTS[3:], "segmentation": [square]},
            {**person, "id": 2, "num_keypoints": 9, "segmentation": []},
            {
                **person,
                "id": 3,
                "iscrowd": 1,
                "keypoints": [0] * 51,
                "segmentation": {"size": [50, 60], "counts": [100, 30, 2870]},
            },
        ],
    }


def read(tmp_path, value, **options):
    path = tmp_path / "persons.json"
    path.write_text(json.dumps(value))
    return read_coco(path, dataset="toy", split="val", skeleton=COCO17, image_folder="val", **options)


def test_values_are_those_of_the_file(tmp_path):
    (first, second, crowd), faults = read(tmp_path, content())
    assert faults == []
    assert (first.image_path, first.image_width, first.image_height, first.crowd_index) == ("val/a.png", 60, 50, 0.5)
    assert first.area == 700.123456789
    np.testing.assert_array_equal(first.bbox_xywh, [10.25, 10, 30, 30.5])
    np.testing.assert_array_equal(first.keypoints_xy[:2], [[0, 0], [11.1, 20.7]])
    np.testing.assert_array_equal(first.visibility, [0, *KEYPOINTS[5::3]])
    np.testing.assert_array_equal(first.visibility_source, [0] + [Source.ANNOTATED] * 16)
    assert not first.occluder.any()
    assert first.gt_occluder is None
    assert second.num_keypoints == 0
    assert second.segmentation is None
    assert crowd.is_crowd
    assert crowd.segmentation is not None


def test_round_trip_through_json(tmp_path):
    value = content()
    value["annotations"][0] |= {
        "visibility_source": [0] + [Source.REVIEWED] * 16,
        "occluder": [0] * 16 + [Occluder.SELF],
        "gt_occluder": [Occluder.FRAME] + [0] * 16,
    }
    persons, _ = read(tmp_path, value, source=Source.RENDERED)
    write_coco(tmp_path / "again.json", persons, COCO17)
    again, faults = read_coco(
        tmp_path / "again.json", dataset="toy", split="val", skeleton=COCO17, image_folder="", source=Source.RENDERED
    )
    assert faults == []
    assert coco_dict(again, COCO17) == coco_dict(persons, COCO17)
    assert again[0].gt_occluder is not None
    assert again[0].gt_occluder[0] == Occluder.FRAME
    assert again[0].visibility_source[1] == Source.REVIEWED
    written = json.loads((tmp_path / "again.json").read_text())
    assert [annotation["num_keypoints"] for annotation in written["annotations"]] == [16, 0, 0]
    assert written["categories"][0]["skeleton"][0] == [16, 14]


def test_visibility_3_without_a_source_is_relabelled(tmp_path):
    value = content()
    value["annotations"][0]["keypoints"][5] = 3
    (first, *_), faults = read(tmp_path, value)
    assert faults == []
    assert first.visibility_source[1] == Source.RELABELLED


def test_one_id_for_two_images_is_refused(tmp_path):
    persons, _ = read(tmp_path, content())
    other = replace(persons[0], image_path="train/a.png")
    with pytest.raises(UserError, match=r"image 5: two images with one id: expected val/a.png, got train/a.png"):
        coco_dict([*persons, other], COCO17)


NAN, INF = float("nan"), float("inf")
INVALID_ANNOTATIONS = [
    ({"keypoints": KEYPOINTS[:50]}, "keypoint list of wrong length: expected 51, got 50"),
    ({"keypoints": "nose"}, "keypoint list of wrong length: expected 51, got 'nose'"),
    ({"keypoints": KEYPOINTS[:-1] + [4]}, "unknown visibility: expected 0, 1, 2 or 3, got 4"),
    ({"keypoints": KEYPOINTS[:-1] + [-1]}, "unknown visibility: expected 0, 1, 2 or 3, got -1"),
    ({"keypoints": KEYPOINTS[:-1] + [1.5]}, "unknown visibility: expected 0, 1, 2 or 3, got 1.5"),
    ({"keypoints": [NAN] + KEYPOINTS[1:]}, "bad keypoint: expected finite numbers, got nan"),
    ({"keypoints": [-INF] + KEYPOINTS[1:]}, "bad keypoint: expected finite numbers, got -inf"),
    ({"keypoints": [10**400] + KEYPOINTS[1:]}, "bad keypoint: expected finite numbers, got 1000"),
    ({"bbox": [0, 0, NAN, 3]}, "bad box: expected 4 finite numbers, got [0, 0, nan, 3]"),
    ({"bbox": [0, 0, 3]}, "bad box: expected 4 finite numbers, got [0, 0, 3]"),
    ({"bbox": None}, "bad box: expected 4 finite numbers, got None"),
    ({"bbox": [5, 5, 0, 10]}, "empty box: expected width and height above 0, got [5, 5, 0, 10]"),
    ({"bbox": [70, 5, 9, 10]}, "box outside the image: expected inside 60 x 50, got [70, 5, 9, 10]"),
    ({"bbox": [-2, 5, 9, 10]}, "box outside the image: expected inside 60 x 50, got [-2, 5, 9, 10]"),
    ({"bbox": [5, 5, 9, 47]}, "box outside the image: expected inside 60 x 50, got [5, 5, 9, 47]"),
    ({"area": INF}, "bad area: expected square pixels, got inf"),
    ({"area": None}, "bad area: expected square pixels, got None"),
    ({"area": 0.0, "keypoints": KEYPOINTS}, "bad area: expected more than 0 square pixels for a person with keypoints"),
    ({"iscrowd": 2}, "bad iscrowd: expected 0 or 1, got 2"),
    ({"image_id": 6}, "unknown image: expected the id of an entry in images, got 6"),
    ({"category_id": 18}, "unknown category: expected 1, got 18"),
    ({"category_id": [1]}, "unknown category: expected 1, got [1]"),
    ({"id": 3}, None),  # reported for the later of the two, see below
    ({"id": "2"}, "bad annotation id: expected a whole number from 0 on, got '2'"),
    ({"occluder": [9] * 17}, f"bad occluder: expected 17 numbers from 0 to 4, got {[9] * 17}"),
    ({"gt_occluder": [1]}, "bad gt_occluder: expected 17 numbers from 0 to 4, got [1]"),
    ({"segmentation": [[1, 2, 3, 4]]}, "bad segmentation: expected polygons of 3 or more x, y, got [1, 2, 3, 4]"),
    ({"segmentation": "x"}, "bad segmentation: expected polygons of 3 or more x, y, got x"),
    (
        {"segmentation": {"size": [9, 9], "counts": [81]}},
        "bad segmentation: expected run lengths of size [50, 60], got [9, 9]",
    ),
    (
        {"segmentation": {"size": [50, 60], "counts": [81]}},
        "bad segmentation: expected run lengths that add up to 3000, got [81]",
    ),
    (
        {"segmentation": {"size": [50, 60], "counts": "garbage"}},
        "bad segmentation: expected run lengths that add up to 3000, got garbage",
    ),
]


@pytest.mark.parametrize(("change", "reason"), INVALID_ANNOTATIONS)
def test_an_invalid_annotation_is_reported_and_dropped(tmp_path, change, reason):
    value = content()
    value["annotations"][1] |= change
    persons, faults = read(tmp_path, value)
    identity = "annotation 3" if reason is None else f"annotation {value['annotations'][1]['id']}"
    reason = reason or "duplicate annotation id: expected one annotation, got another"
    assert len(faults) == 1
    assert str(faults[0]).startswith(f"{tmp_path}/persons.json: {identity}: {reason}")
    assert len(persons) == 2


def test_a_box_may_exceed_the_image_by_one_pixel(tmp_path):
    value = content()
    value["annotations"][0]["bbox"] = [-1, -0.4, 62, 50.8]
    assert read(tmp_path, value)[1] == []


INVALID_IMAGES = [
    ({"width": 0}, "bad width: expected pixels from 1 to 65536, got 0"),
    ({"height": "50"}, "bad height: expected pixels from 1 to 65536, got '50'"),
    ({"file_name": None}, "bad file_name: expected a file name, got None"),
    ({"id": 5}, "duplicate image id: expected one image, got 2"),
    ({"id": None}, "bad image id: expected a whole number from 0 on, got None"),
    ({"crowdIndex": NAN}, "bad crowdIndex: expected a number, got nan"),
]


@pytest.mark.parametrize(("change", "reason"), INVALID_IMAGES)
def test_an_invalid_image_is_reported_and_its_persons_dropped(tmp_path, change, reason):
    value = content()
    other = {"id": 6, "file_name": "b.png", "width": 60, "height": 50} | change
    value["images"].append(other)
    value["annotations"][0]["image_id"] = 6 if other["id"] == 6 else 5
    persons, faults = read(tmp_path, value)
    assert str(faults[0]) == f"{tmp_path}/persons.json: image {other['id']}: {reason}"
    assert len(faults) == 1
    assert 1 not in {person.person_id for person in persons} or other["id"] is None


def _without(value, key):
    return {name: entry for name, entry in value.items() if name != key}


INVALID_FILES = [
    (lambda v: _without(v, "images"), r"persons.json: no list of images: expected COCO json"),
    (lambda v: _without(v, "annotations"), r"persons.json: no list of annotations: expected COCO json"),
    (lambda v: _without(v, "categories"), r"persons.json: no list of categories: expected COCO json"),
    (lambda v: [v], r"persons.json: no list of images: expected COCO json"),
    (lambda v: v | {"annotations": [1]}, r"persons.json: no list of annotations: expected COCO json"),
    (lambda v: v | {"annotations": []}, r"persons.json: empty data set: expected at least one entry in annotations"),
    (
        lambda v: v | {"categories": [{"id": 1, "name": "dog"}]},
        r"persons.json: no category with the skeleton's joints: expected \['nose'.*got \['dog'\]",
    ),
    (
        lambda v: v | {"images": [v["images"][0] | {"file_name": "../../etc/passwd"}]},
        r"persons.json: image \d+: file name leaves the data root: expected a path below it, got '../../etc/passwd'",
    ),
    (
        lambda v: v | {"images": [v["images"][0] | {"file_name": "/etc/passwd"}]},
        r"persons.json: image \d+: file name leaves the data root: expected a path below it, got '/etc/passwd'",
    ),
]


@pytest.mark.parametrize(("change", "text"), INVALID_FILES)
def test_an_invalid_file_is_refused(tmp_path, change, text):
    with pytest.raises(UserError, match=text):
        read(tmp_path, change(content()))


def test_a_file_that_is_not_json_is_refused(tmp_path):
    (tmp_path / "persons.json").write_text('{"images": [')
    with pytest.raises(UserError, match=r"persons.json: not a json file: got Expecting value: line 1"):
        read_coco(tmp_path / "persons.json", dataset="toy", split="val", skeleton=COCO17, image_folder="val")


@pytest.mark.parametrize("split", ["train", "val"])
def test_every_value_of_coco_is_preserved(real_data, tmp_path, split):
    path = real_data / f"data/coco/annotations/person_keypoints_{split}2017.json"
    persons, faults = read_coco(path, dataset="coco", split=split, skeleton=COCO17, image_folder=f"{split}2017")
    assert faults == []
    official = json.loads(path.read_text())
    write_coco(tmp_path / "out.json", persons, COCO17)
    written = json.loads((tmp_path / "out.json").read_text())
    assert len(written["annotations"]) == len(official["annotations"])
    for ours, theirs in zip(written["annotations"], official["annotations"]):
        for key in ("id", "image_id", "category_id", "iscrowd", "area", "bbox", "keypoints", "num_keypoints"):
            assert ours[key] == theirs[key]
    edges = {frozenset(edge) for edge in official["categories"][0]["skeleton"]}
    assert {frozenset(edge) for edge in written["categories"][0]["skeleton"]} == edges


def test_masks_are_those_of_the_coco_api(real_data):
    path = real_data / "data/coco/annotations/person_keypoints_val2017.json"
    persons, _ = read_coco(path, dataset="coco", split="val", skeleton=COCO17, image_folder="val2017")
    with contextlib.redirect_stdout(io.StringIO()):
        api: Any = COCO(str(path))
    expected = [api.annToRLE(api.anns[person.person_id])["counts"].decode() for person in persons]
    assert [person.segmentation for person in persons] == expected
