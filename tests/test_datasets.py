"""Converters of all data sets, run as their stages: counts against the raw files, corrections, refusals."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML
from scipy.io import loadmat, savemat

from dag.annotation import Occluder, PersonAnnotation, Source, read_annotations
from dag.cache.build import write_cache
from dag.cache.shards import Shards
from dag.convert.duplicates import without_leaked_images
from dag.inference.mean_pose import fit_mean_pose
from dag.masks import decode_mask
from dag.parallel import Workers
from dag.pool.pool import write_pool
from dag.skeleton import COCO17, CROWDPOSE14, Skeleton
from tests.imports import ROOT


def convert(name: str, folder: Path, root: Path, annotations: str, *options: str) -> tuple[Any, Any, str]:
    """Annotations with skeleton, report and error output of a converter that runs in `folder`."""
    shutil.copy(ROOT / "params.yaml", folder)
    out, report = folder / f"{name}.parquet", folder / f"{name}.json"
    command = [sys.executable, str(ROOT / f"datasets/{name}/convert.py"), "--root", str(root)]
    command += ["--annotations", str(root / annotations)]
    command += ["--out", str(out), "--images", str(folder / "images.parquet"), "--report", str(report)]
    command += options
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)})
    if done.returncode:
        assert not out.exists()
        assert not report.exists()
        return None, None, done.stderr
    return read_annotations(out), json.loads(report.read_text()), done.stderr


def visibility_counts(persons: list[PersonAnnotation]) -> Counter:
    """Number of joints by visibility, crowd regions included."""
    return Counter(np.concatenate([person.visibility for person in persons]).tolist())


def raw_visibility_counts(path: Path) -> Counter:
    """The same of a COCO json."""
    persons = json.loads(path.read_text())["annotations"]
    return Counter(flag for person in persons for flag in person["keypoints"][2::3])


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_coco(real_data: Path, tmp_path: Path) -> None:
    root = real_data / "data/coco"
    (persons, skeleton), report, _ = convert("coco", tmp_path, root, "annotations")
    assert skeleton == COCO17
    for split in ("train", "val"):
        of_split = [person for person in persons if person.split == split]
        assert visibility_counts(of_split) == raw_visibility_counts(
            root / f"annotations/person_keypoints_{split}2017.json"
        )
        assert all(person.image_hash for person in of_split)
    assert report["train"]["instances"] == 236


def test_crowdpose_without_images(real_data: Path, tmp_path: Path) -> None:
    root = real_data / "data/crowdpose"
    (persons, skeleton), report, _ = convert("crowdpose", tmp_path, root, "annotations", "--no-check-images")
    raw = json.loads((root / "annotations/crowdpose_val.json").read_text())
    assert skeleton == CROWDPOSE14
    assert len(persons) == len(raw["annotations"]) == 8527
    assert visibility_counts(persons) == raw_visibility_counts(root / "annotations/crowdpose_val.json")
    crowds = {image["id"]: image["crowdIndex"] for image in raw["images"]}
    boxes = {person["id"]: person["bbox"] for person in raw["annotations"]}
    for person in persons:
        assert person.crowd_index == crowds[person.image_id]
        assert person.area == pytest.approx(0.53 * boxes[person.person_id][2] * boxes[person.person_id][3])
        assert set(person.visibility_source.tolist()) <= {Source.NONE, Source.LABEL_FLAG_ONLY}
    miscounted = sum(p["num_keypoints"] != sum(flag > 0 for flag in p["keypoints"][2::3]) for p in raw["annotations"])
    assert report["corrected"]["val"] == {"width_and_height_swapped": [], "num_keypoints_recomputed": miscounted}


@pytest.fixture
def crowdpose(real_data: Path, tmp_path: Path) -> Path:
    """The data set with two images, under the official names."""
    root = tmp_path / "crowdpose"
    shutil.copytree(real_data / "data/crowdpose/images", root / "images")
    (root / "json").mkdir()
    shutil.copy(real_data / "data/crowdpose/annotations/test_crowdpose.json", root / "json/crowdpose_test.json")
    return root


@pytest.mark.parametrize("options", [[], ["--no-check-images"]])
def test_swapped_width_and_height_are_corrected(crowdpose: Path, tmp_path: Path, options: list[str]) -> None:
    path = crowdpose / "json/crowdpose_test.json"
    content = json.loads(path.read_text())
    for image in content["images"]:
        image["width"], image["height"] = image["height"], image["width"]
    path.write_text(json.dumps(content))
    (persons, _), report, _ = convert("crowdpose", tmp_path, crowdpose, "json", *options)
    right = {image["id"]: 0.0 for image in content["images"]}
    for person in content["annotations"]:
        right[person["image_id"]] = max(right[person["image_id"]], person["bbox"][0] + person["bbox"][2])
    # Without images, only persons outside the stated width reveal the swap.
    detected = [image for image in content["images"] if not options or right[image["id"]] > image["width"] + 1]
    expected = [image["file_name"] for image in detected]
    assert expected
    assert report["corrected"]["test"]["width_and_height_swapped"] == expected
    if not options:
        sizes = {p.image_path: (p.image_width, p.image_height) for p in persons}
        assert sizes == {path: size_of(crowdpose / path) for path in sizes}


def test_ochuman_in_coco_form(real_data: Path, tmp_path: Path) -> None:
    root = real_data / "data/ochuman"
    (persons, skeleton), _, _ = convert("ochuman", tmp_path, root, "annotations")
    assert skeleton == COCO17
    assert visibility_counts(persons) == raw_visibility_counts(root / "annotations/test_ochuman.json")
    assert {person.image_id for person in persons} == {int(Path(person.image_path).stem) for person in persons}
    assert {person.split for person in persons} == {"test"}


def native_ochuman(root: Path) -> Path:
    """OCHuman's original json with two images, each with a complete person and one without joints."""
    names = [*COCO17.joints, "head", "neck"]
    order = np.random.default_rng(0).permutation(len(names)).tolist()
    keypoints = [value for index in order for value in (10 + index, 20 + index, index % 4)]
    square = [[20.0, 20.0, 60.0, 20.0, 60.0, 60.0, 20.0, 60.0]]
    hole = [[30.0, 30.0, 50.0, 30.0, 50.0, 50.0, 30.0, 50.0]]
    complete = {
        "bbox": [10, 15, 70, 75], "keypoints": keypoints, "max_iou": 0.8,
        "segms": {"outer": square, "inner": hole, "height": 90, "width": 80},
    }  # fmt: skip
    bare = {"bbox": [0, 0, 30, 30], "keypoints": None, "segms": None, "max_iou": 0.1}
    images = []
    (root / "images").mkdir(parents=True)
    for number in (7, 3):
        name = f"{number:06d}.jpg"
        Image.new("RGB", (80, 90), "gray").save(root / "images" / name)
        images.append(
            {"file_name": name, "image_id": f"{number:06d}", "width": 80, "height": 90, "annotations": [complete, bare]}
        )
    content = {
        "keypoint_names": [names[index] for index in order], "images": images,
        "keypoint_visible": {"missing": 0, "vis": 1, "self_occluded": 2, "others_occluded": 3},
    }  # fmt: skip
    (root / "ochuman.json").write_text(json.dumps(content))
    return root


def test_ochuman_in_its_original_form(tmp_path: Path) -> None:
    root = native_ochuman(tmp_path / "ochuman")
    (persons, _), _, _ = convert("ochuman", tmp_path, root, "ochuman.json")
    assert [(p.image_id, p.person_id, p.split) for p in persons] == [
        (3, 300, "val"), (3, 301, "val"), (7, 700, "val"), (7, 701, "val"),
    ]  # fmt: skip
    first, bare = persons[:2]
    kinds = {0: (0, Occluder.UNKNOWN), 1: (2, Occluder.UNKNOWN), 2: (1, Occluder.SELF), 3: (1, Occluder.PERSON)}
    for joint in range(17):
        visibility, occluder = kinds[joint % 4]
        assert (first.visibility[joint], first.occluder[joint]) == (visibility, occluder)
        assert first.keypoints_xy[joint].tolist() == ([10 + joint, 20 + joint] if visibility else [0, 0])
    assert (first.max_iou, bare.max_iou, bare.num_keypoints) == (0.8, 0.1, 0)
    assert first.bbox_xywh.tolist() == [10, 15, 60, 60]
    mask = decode_mask(first)
    assert mask is not None
    assert mask[25, 25]
    assert not mask[40, 40]


def test_lsp_extended(real_data: Path, tmp_path: Path) -> None:
    root = real_data / "data/lsp_extended"
    (persons, skeleton), report, _ = convert("lsp_extended", tmp_path, root, "joints.mat", "--no-check-images")
    joints = loadmat(root / "joints.mat")["joints"]
    assert skeleton == CROWDPOSE14
    assert len(persons) == 4500
    assert visibility_counts(persons) == Counter({2: int((joints[:, 2] == 1).sum()), 0: int((joints[:, 2] != 1).sum())})
    assert (report["train"]["instances"], report["val"]["instances"]) == (4000, 500)


def test_lsp_images_and_joint_names(real_data: Path, tmp_path: Path) -> None:
    source, root = real_data / "data/lsp_extended", tmp_path / "lsp"
    joints = loadmat(source / "joints.mat")["joints"][:, :, :12]
    (root / "images").mkdir(parents=True)
    for number in range(1, 13):
        shutil.copy(source / f"images/im{number:05d}.jpg", root / "images")
    savemat(root / "joints.mat", {"joints": joints})
    (persons, _), _, _ = convert("lsp_extended", tmp_path, root, "joints.mat")
    for person in persons:
        ankle, head = (CROWDPOSE14.joints.index(joint) for joint in ("right_ankle", "head"))
        for joint, row in ((ankle, 0), (head, 13)):
            x, y, flag = joints[row, :, person.image_id - 1]
            assert bool(person.visibility[joint]) == (flag == 1)
            if flag == 1:
                np.testing.assert_allclose(person.keypoints_xy[joint], [x - 1, y - 1])
        left, top, width, height = person.bbox_xywh
        assert min(left, top) >= 0
        assert left + width <= person.image_width
        assert top + height <= person.image_height
        assert size_of(root / person.image_path) == (person.image_width, person.image_height)


HAND = Skeleton(
    name="hand",
    joints=("palm", "thumb", "index", "ring", "little"),
    pairs=(),
    bones=(("palm", "thumb"),),
    sigmas=(0.05,) * 5,
)


def custom(root: Path, **changes: Any) -> Path:
    """Three images of hands, with a skeleton of five joints."""
    rng = np.random.default_rng(1)
    (root / "annotations").mkdir(parents=True)
    (root / "photos").mkdir()
    images, annotations = [], []
    for number in range(3):
        Image.fromarray(rng.integers(0, 255, (90, 80, 3), dtype=np.uint8)).save(root / f"photos/{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 80, "height": 90})
        joints = np.column_stack([rng.uniform(20, 60, (5, 2)), np.full(5, 2)]).ravel().tolist()
        annotation = {"id": number, "image_id": number, "category_id": 4, "bbox": [10, 10, 60, 60], "area": 900}
        annotations.append({**annotation, "keypoints": joints})
    category = {"id": 4, "name": "hand", "keypoints": list(HAND.joints)}
    content = {"images": images, "annotations": annotations, "categories": [category]}
    (root / "annotations/hands.json").write_text(json.dumps(content))
    joints = {"name": "hand", "joints": list(HAND.joints), "pairs": [], "bones": [["palm", "thumb"]]}
    skeleton = {**joints, "sigmas": [0.05] * 5, **changes}
    description = {"splits": {"train": {"annotations": "hands.json", "images": "photos"}}, "skeleton": skeleton}
    with (root / "annotations/dataset.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(description, file)
    return root


def test_a_custom_skeleton_reaches_the_cache(tmp_path: Path) -> None:
    root = custom(tmp_path / "hands")
    (persons, skeleton), _, _ = convert("custom", tmp_path, root, "annotations")
    assert skeleton == HAND
    write_pool(tmp_path / "pool.arrow", [], skeleton)
    write_cache(
        tmp_path / "cache", tmp_path / "custom.parquet", tmp_path / "pool.arrow", root, input_wh=(64, 64), margin=1.25,
        variants=1, shard_mb=1.0, mask={"p": 1.0, "min_count": 1, "max_count": 2, "min_size": 5.0, "max_size": 9.0},
        paste={"p": 0.0}, seed=1, workers=Workers(1),
    )  # fmt: skip
    shards = Shards(tmp_path / "cache")
    assert shards.skeleton == HAND
    assert shards.crop(0, 1).visibility.shape == (1, 5)
    assert fit_mean_pose(persons).shape == (5, 2)
    kept, _ = without_leaked_images(persons, persons, "custom")
    assert len(kept) == 3


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"sigmas": [0.05] * 4}, "hand: wrong number of sigmas: expected 5, got 4"),
        ({"bones": [["palm", "nose"]]}, "hand: unknown joint: expected"),
        ({"pairs": [["palm"]]}, "skeleton.pairs.0: List should have at least 2 items"),
        ({"colour": 3}, "skeleton.colour: Extra inputs are not permitted"),
    ],
)
def test_an_invalid_description_is_one_line(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    _, _, error = convert("custom", tmp_path, custom(tmp_path / "hands", **changes), "annotations")
    assert text in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "annotations", "text"),
    [
        ("coco", "annotations", "no annotation file"),
        ("crowdpose", "json", "no annotation file"),
        ("ochuman", "annotations", "no annotation file"),
        ("lsp_extended", "joints.mat", "not LSP's joints"),
        ("custom", "annotations", "no description of the data set"),
    ],
)
def test_missing_files_are_one_line(tmp_path: Path, name: str, annotations: str, text: str) -> None:
    _, _, error = convert(name, tmp_path, tmp_path / "nowhere", annotations)
    assert text in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
