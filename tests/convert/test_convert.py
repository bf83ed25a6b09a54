"""A data set in COCO's layout becomes a table of annotations and a report, or nothing is written."""

import json
from typing import Literal

import pytest
from PIL import Image

from dag.annotation import Source, read_annotations
from dag.convert.convert import Split, convert_coco
from dag.errors import UserError
from dag.image import file_hash
from dag.skeleton import COCO17

KEYPOINTS = [30, 20, 2] * 10 + [31, 21, 1] * 4 + [0, 0, 0] * 3


@pytest.fixture
def root(tmp_path):
    """Two splits with two images each: a person and a crowd region on the first image, a person on the second."""
    root = tmp_path / "data"
    for split, first in (("train", 10), ("val", 20)):
        (root / split).mkdir(parents=True)
        (root / "annotations").mkdir(exist_ok=True)
        common = {"category_id": 1, "bbox": [5, 5, 40, 40], "area": 900, "iscrowd": 0}
        images = [{"id": first + n, "file_name": f"{n}.jpg", "width": 60, "height": 50} for n in (0, 1)]
        for image in images:
            Image.new("RGB", (60, 50), "gray").save(root / split / image["file_name"])
        annotations = [
            {**common, "id": first, "image_id": first, "keypoints": KEYPOINTS},
            {**common, "id": first + 1, "image_id": first, "keypoints": [0] * 51, "iscrowd": 1},
            {**common, "id": first + 2, "image_id": first + 1, "keypoints": [0] * 51},
        ]
        categories = [{"id": 1, "keypoints": list(COCO17.joints)}]
        save(root, split, {"images": images, "annotations": annotations, "categories": categories})
    return root


def save(root, split, content):
    (root / f"annotations/{split}.json").write_text(json.dumps(content))


def load(root, split):
    return json.loads((root / f"annotations/{split}.json").read_text())


def convert(root, invalid_annotations: Literal["stop", "drop"] = "stop", workers=2):
    out, report = root.parent / "out/annotations.parquet", root.parent / "out/report.json"
    convert_coco(
        root,
        [Split(split, root / f"annotations/{split}.json", split) for split in ("train", "val")],
        dataset="toy",
        skeleton=COCO17,
        source=Source.RENDERED,
        invalid_annotations=invalid_annotations,
        workers=workers,
        check_images=True,
        out=out,
        images=out.with_name("images.parquet"),
        report=report,
    )
    return out, report


def test_annotations_of_both_splits_and_a_report(root):
    out, report = convert(root)
    persons, skeleton = read_annotations(out)
    assert skeleton == COCO17
    assert [(p.split, p.person_id) for p in persons] == [
        ("train", 10), ("train", 11), ("train", 12), ("val", 20), ("val", 21), ("val", 22),
    ]  # fmt: skip
    assert persons[0].visibility_source[0] == Source.RENDERED
    assert [p.image_hash for p in persons] == [file_hash(root / p.image_path) for p in persons]
    counts = {
        "images": 2,
        "instances": 2,
        "instances_without_keypoints": 1,
        "crowd_regions": 1,
        "joints": {"unlabelled": 20, "occluded": 4, "visible": 10, "relabelled": 0},
    }
    assert json.loads(report.read_text()) == {
        "train": counts,
        "val": counts,
        "corrected": {},
        "faults": 0,
        "dropped": [],
    }


def test_the_same_bytes_for_any_number_of_workers(root):
    first = [path.read_bytes() for path in convert(root, workers=0)]
    assert [path.read_bytes() for path in convert(root, workers=3)] == first


def test_one_split_is_enough(root):
    (root / "annotations/train.json").unlink()
    persons, _ = read_annotations(convert(root)[0])
    assert {person.split for person in persons} == {"val"}


def test_invalid_annotations_stop_and_nothing_is_written(root):
    content = load(root, "val")
    content["annotations"][0]["keypoints"] = [1, 2]
    save(root, "val", content)
    (root / "val/1.jpg").unlink()
    text = (
        r"val.json: annotation 20: keypoint list of wrong length: expected 51, got 2; "
        r"and 1 more fault; set convert.invalid_annotations: drop to leave them out$"
    )
    with pytest.raises(UserError, match=text):
        convert(root)
    assert not (root.parent / "out").exists()


def test_invalid_annotations_are_dropped_and_listed(root):
    content = load(root, "val")
    content["annotations"][0]["keypoints"] = [1, 2]
    save(root, "val", content)
    (root / "val/1.jpg").unlink()
    out, report = convert(root, invalid_annotations="drop")
    assert [person.person_id for person in read_annotations(out)[0]] == [10, 11, 12, 21]
    written = json.loads(report.read_text())
    assert written["faults"] == 2
    assert written["dropped"] == [
        {
            "file": f"{root}/annotations/val.json",
            "id": "annotation 20",
            "reason": "keypoint list of wrong length: expected 51, got 2",
        },
        {"file": f"{root}/val/1.jpg", "id": "image 21", "reason": "missing image: expected a file, got none"},
    ]


def test_a_data_set_without_a_valid_annotation_is_refused(root):
    for split in ("train", "val"):
        for image in (root / split).iterdir():
            image.unlink()
    with pytest.raises(UserError, match=r"empty data set: expected at least one valid annotation, got 4 faults"):
        convert(root, invalid_annotations="drop")
    assert not (root.parent / "out").exists()


def test_a_folder_without_annotations_is_refused(tmp_path):
    text = r"no annotation file: expected .*/annotations/train.json or .*/annotations/val.json; set datasets.toy.root"
    with pytest.raises(UserError, match=text):
        convert(tmp_path)


@pytest.mark.parametrize(("kind", "key"), [("annotation", "annotations"), ("image", "images")])
def test_an_id_in_two_splits_is_refused(root, kind, key):
    content = load(root, "val")
    content[key][0]["id"] = 10
    if kind == "image":
        for annotation in content["annotations"][:2]:
            annotation["image_id"] = 10
    save(root, "val", content)
    with pytest.raises(
        UserError, match=f"{kind} 10: one id in two splits: expected unique ids across splits, got train and val"
    ):
        convert(root, invalid_annotations="drop")
    assert not (root.parent / "out").exists()


def test_image_folders_may_be_links(root, tmp_path):
    (root / "val").rename(tmp_path / "elsewhere")
    (root / "val").symlink_to(tmp_path / "elsewhere")
    convert(root)
    assert (root.parent / "out").exists()
