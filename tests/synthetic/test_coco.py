"""Files of synthetic data sets: COCO's layout, equal bytes for any number of workers, atomic writing."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from dag.annotation import Occluder
from dag.errors import UserError
from dag.parallel import Workers
from dag.skeleton import COCO17
from dag.synthetic.coco import encode_jpeg, write_synthetic
from dag.synthetic.render import render_image
from tests.imports import ROOT

SETTINGS = {"width": 320, "height": 240, "max_persons": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("synthetic") / "out"
    write_synthetic(path, {"train": 5, "val": 3}, **SETTINGS, occlusion=0.5, seed=3, workers=Workers(1))
    return path


def test_same_bytes_for_any_worker_count(folder: Path, tmp_path: Path) -> None:
    write_synthetic(tmp_path / "two", {"train": 5, "val": 3}, **SETTINGS, occlusion=0.5, seed=3, workers=Workers(2))
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert names == sorted(
        path.relative_to(tmp_path / "two") for path in (tmp_path / "two").rglob("*") if path.is_file()
    )
    assert len(names) == 2 + 2 * 8
    for name in names:
        assert (folder / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_images_depend_on_seed_split_and_index() -> None:
    one, *others = (
        encode_jpeg(render_image(seed, split, index, **SETTINGS, occlusion=0.5).image)
        for seed, split, index in ((1, "train", 0), (2, "train", 0), (1, "val", 0), (1, "train", 1))
    )
    assert one not in others
    assert one == encode_jpeg(render_image(1, "train", 0, **SETTINGS, occlusion=0.5).image)


def test_folder_loads_as_coco(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids: dict[str, list[int]] = {"images": [], "annotations": []}
    for split, count in (("train", 5), ("val", 3)):
        coco = COCO(folder / f"annotations/person_keypoints_{split}.json")
        capsys.readouterr()
        assert coco.loadCats(1)[0]["keypoints"] == list(COCO17.joints)
        assert coco.loadCats(1)[0]["skeleton"] == (COCO17.bone_index + 1).tolist()
        assert len(coco.imgs) == count
        ids["images"] += list(coco.imgs)
        ids["annotations"] += list(coco.anns)
        for image in coco.imgs.values():
            pixels = cv2.imread(str(folder / split / image["file_name"]))
            parts = cv2.imread(str(folder / image["part_map"]), cv2.IMREAD_UNCHANGED)
            assert pixels.shape[:2] == parts.shape == (image["height"], image["width"]) == (240, 320)
            persons = coco.loadAnns(coco.getAnnIds(image["id"]))
            masks = np.array([coco.annToMask(person) for person in persons])
            np.testing.assert_array_equal(masks.sum(0), parts > 0)
            for person, mask in zip(persons, masks):
                _check_annotation(person, mask)
    assert all(len(set(numbers)) == len(numbers) for numbers in ids.values())


def _check_annotation(person: dict, mask: np.ndarray) -> None:
    assert mask.sum() == person["area"]
    rows, columns = np.nonzero(mask)
    box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
    assert person["bbox"] == pytest.approx(box)
    x, y, v = np.array(person["keypoints"]).reshape(17, 3).T
    occluder = np.array(person["gt_occluder"])
    assert (v == np.where(occluder == Occluder.UNKNOWN, 2, np.where(occluder == Occluder.FRAME, 0, 1))).all()
    assert person["num_keypoints"] == (v > 0).sum()
    assert (x[v == 0] == 0).all()
    assert (y[v == 0] == 0).all()
    gt = np.array(person["gt_keypoints"])
    np.testing.assert_array_equal(np.stack([x, y], 1)[v > 0], gt[v > 0])
    assert 0 <= person["occlusion_ratio"] <= 0.9


def test_annotations_hold_the_hash_of_the_image_file(folder: Path) -> None:
    images = json.loads((folder / "annotations/person_keypoints_val.json").read_text())["images"]
    for image in images:
        jpeg = (folder / "val" / image["file_name"]).read_bytes()
        assert image["sha256"] == hashlib.sha256(jpeg).hexdigest()


def test_unknown_split_writes_no_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown split: expected some of \('train', 'val'\), got \['test'\]"):
        write_synthetic(tmp_path / "out", {"test": 1}, **SETTINGS, occlusion=0.5, seed=1, workers=Workers(1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGKILL])
def test_killed_render_leaves_no_folder(tmp_path: Path, signal_number: int) -> None:
    out, partial = tmp_path / "out", tmp_path / ".out.partial"
    code = (
        "from dag.synthetic.coco import write_synthetic\n"
        "from dag.parallel import Workers\n"
        f"write_synthetic({str(out)!r}, {{'train': 500}}, "
        "width=320, height=240, max_persons=1, occlusion=0.0, seed=1, workers=Workers(1))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, cwd=ROOT)
    deadline = time.monotonic() + 60
    while not list(partial.glob("train/*.jpg")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal_number)
    assert process.wait() != 0
    assert not out.exists()
    write_synthetic(out, {"train": 1}, **SETTINGS, occlusion=0.5, seed=1, workers=Workers(1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    assert len(list(out.glob("train/*.jpg"))) == 1


def test_stage_script(tmp_path: Path) -> None:
    script = ROOT / "datasets/synthetic/render.py"
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text)
    command = [sys.executable, str(script), "--name", "unknown", "--out", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": str(script.parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 1
    assert done.stderr.startswith("error: params.yaml, render: no such block: expected one of ")
    assert "got 'unknown'" in done.stderr
    assert not (tmp_path / "out").exists()
