"""Conversion of official label maps, run as the stage; faults are reported in one line each."""

import json
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML
from scipy.io import loadmat, savemat

from dag.image import file_hash
from dag.parsing.label_maps import LabelMaps
from dag.parsing.labels import LIP, SYNTHETIC
from tests.imports import ROOT


def run(
    name: str, folder: Path, root: Path, labels: str, invalid_annotations: str = "stop"
) -> tuple[LabelMaps | None, Any, str]:
    """Table, report and errors of `datasets/<name>/parts.py` run in `folder`."""
    params = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    params["convert"]["invalid_annotations"] = invalid_annotations
    with (folder / "params.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(params, file)
    out, report = folder / "out/parts.arrow", folder / "out/report.json"
    command = [sys.executable, str(ROOT / f"datasets/{name}/parts.py"), "--root", str(root)]
    command += ["--labels", str(root / labels), "--out", str(out), "--report", str(report)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)})
    if done.returncode:
        assert not out.exists()
        return None, None, done.stderr
    return LabelMaps(out), json.loads(report.read_text()), done.stderr


def test_cihp_sample(real_data: Path, tmp_path: Path) -> None:
    root = real_data / "data/cihp"
    table, report, _ = run("lip_layout", tmp_path, root, "labels")
    assert table is not None
    assert (table.labels, table.dataset) == (LIP, "lip_layout")
    assert [row.split for row in table] == ["val", "train", "train", "train", "train"]
    for row in table:
        with Image.open(root / "labels" / f"{Path(row.image_path).stem}.png") as raw:
            assert np.array_equal(row.decode(), np.array(raw))
        assert row.image_hash == file_hash(root / row.image_path)
    assert report["images"] == {"val": 1, "train": 4}


def test_clothing_co_parsing(real_data: Path, tmp_path: Path) -> None:
    root = real_data / "data/clothing_co_parsing"
    table, report, _ = run("clothing_co_parsing", tmp_path, root, "annotations/pixel-level")
    assert table is not None
    assert len(table.labels) == 59
    assert table.labels[41] == "skin"
    assert len(table) + len(report["incomplete"]) == 200
    # Inspected visually: fragments of a skirt, a car labelled as a dress; two complete persons, one with a bag.
    for number, complete in (("0042", False), ("0142", False), ("0001", True), ("0030", True)):
        assert (f"photos/{number}.jpg" not in report["incomplete"]) == complete
    raw = loadmat(root / "annotations/pixel-level/0001.mat")["groundtruth"]
    assert np.array_equal(table[0].decode(), raw)


def test_synthetic_images(rendered: Any, tmp_path: Path) -> None:
    table, report, _ = run("synthetic", tmp_path, rendered.root, "parts")
    assert table is not None
    assert table.labels == SYNTHETIC
    assert report["images"] == {"train": 16, "val": 6}
    assert table[0].decode().shape == (240, 320)


def write_image(path: Path, values: Any, mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(values, np.uint8))
    if mode == "P":
        image = image.convert("P")
        image.putdata(np.asarray(values).ravel().tolist())
    image.save(path)


LAYOUTS = {
    "lip": ("TrainVal_images/TrainVal_images/{0}_images/1.jpg", "maps/{0}_segmentations/1.png", "maps"),
    "lip, unpacked once": ("TrainVal_images/{0}_images/1.jpg", "maps/{0}_segmentations/1.png", "maps"),
    "cihp": ("{1}/Images/1.jpg", "{1}/Category_ids/1.png", "Training"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mode", ["L", "P"])
def test_official_layouts(tmp_path: Path, layout: str, mode: str) -> None:
    images, maps, labels = LAYOUTS[layout]
    values = np.arange(20, dtype=np.uint8).reshape(4, 5)
    for names in (("train", "Training"), ("val", "Validation")):
        write_image(tmp_path / "data" / images.format(*names), np.zeros((4, 5, 3)))
        write_image(tmp_path / "data" / maps.format(*names), values, mode)
    table, _, error = run("lip_layout", tmp_path, tmp_path / "data", labels)
    assert table is not None, error
    assert [row.split for row in table] == ["train", "val"]
    assert np.array_equal(table[0].decode(), values)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Two images in the layout without splits."""
    for name in ("a", "b"):
        write_image(tmp_path / f"data/images/{name}.jpg", np.zeros((4, 5, 3)))
        write_image(tmp_path / f"data/labels/{name}.png", np.full((4, 5), 3))
    return tmp_path / "data"


def huge() -> bytes:
    """A PNG of a few bytes whose header declares 60,000 x 60,000 pixels."""
    chunks = [b"IHDR" + (60000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0]), b"IDAT"]
    numbers = [[number.to_bytes(4, "big") for number in (len(chunk) - 4, zlib.crc32(chunk))] for chunk in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(size + chunk + crc for chunk, (size, crc) in zip(chunks, numbers))


FAULTS = [
    (lambda root: (root / "images/b.jpg").unlink(), "b.png: images/b.jpg: missing image: expected an image"),
    (lambda root: write_image(root / "labels/b.png", np.zeros((5, 5))), "label map: expected 5 x 4, got 5 x 5"),
    (lambda root: write_image(root / "labels/b.png", np.full((4, 5), 20)), "set: expected numbers below 20, got 20"),
    (lambda root: write_image(root / "labels/b.png", np.zeros((4, 5, 3))), "a grey or palette PNG, got mode RGB"),
    (lambda root: (root / "labels/b.png").write_bytes(b"no image"), "unreadable label map"),
    (lambda root: (root / "labels/b.png").write_bytes(huge()), "label map: expected a complete file, got Image size"),
    (lambda root: (root / "images/b.jpg").write_bytes(b"no image"), "unreadable image"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "text"), FAULTS)
def test_faults_stop_or_are_listed(plain: Path, tmp_path: Path, damage: Any, text: str) -> None:
    damage(plain)
    _, _, error = run("lip_layout", tmp_path, plain, "labels")
    assert text in error
    assert error.rstrip().split("\n")[-1].startswith("error: ")
    table, report, _ = run("lip_layout", tmp_path, plain, "labels", "drop")
    assert table is not None
    assert len(table) == 1
    assert text.rpartition("images/b.jpg: ")[2] in report["dropped"][0]["reason"]


def test_empty_folders(tmp_path: Path, real_data: Path) -> None:
    (tmp_path / "data/labels").mkdir(parents=True)
    assert "no label maps" in run("lip_layout", tmp_path, tmp_path / "data", "labels")[2]
    assert "no list of labels" in run("clothing_co_parsing", tmp_path, tmp_path / "data", "labels")[2]
    shutil.copy(real_data / "data/clothing_co_parsing/label_list.mat", tmp_path / "data")
    (tmp_path / "data/labels/1.mat").write_bytes(b"")
    error = run("clothing_co_parsing", tmp_path, tmp_path / "data", "labels")[2]
    assert "unreadable label map" in error
    assert "Traceback" not in error


def test_damaged_matlab_files(tmp_path: Path) -> None:
    """All faults are collected before the error."""
    (tmp_path / "data/labels").mkdir(parents=True)
    names = np.array([[*(np.array([name]) for name in ("null", "hat", "skin"))]], dtype=object)
    savemat(tmp_path / "data/label_list.mat", {"label_list": names.reshape(1, 3)})
    complete = tmp_path / "complete.mat"
    savemat(complete, {"groundtruth": np.random.default_rng(0).integers(0, 3, (40, 40))}, do_compression=True)
    faults = {
        "1_text": b"not matlab",
        "2_half": complete.read_bytes()[:-20],
        "3_damaged": complete.read_bytes()[:300] + bytes(40) + complete.read_bytes()[340:],
        "4_other": {"other": np.zeros((3, 3))},
        "5_words": {"groundtruth": "words"},
        "6_300": {"groundtruth": np.full((3, 3), 300)},
        "7_half_numbers": {"groundtruth": np.full((3, 3), 0.5)},
        "8_colours": {"groundtruth": np.zeros((3, 3, 3))},
        "9_nothing": {"groundtruth": np.zeros((0, 3))},
    }
    for name, content in faults.items():
        path = tmp_path / f"data/labels/{name}.mat"
        path.write_bytes(content) if isinstance(content, bytes) else savemat(path, content)
        write_image(tmp_path / f"data/photos/{name}.jpg", np.zeros((3, 3, 3)))
    error = run("clothing_co_parsing", tmp_path, tmp_path / "data", "labels")[2]
    assert "Traceback" not in error
    assert f"and {len(faults) - 1} more faults" in error
    error = run("clothing_co_parsing", tmp_path, tmp_path / "data", "labels", "drop")[2]
    assert f"no label maps: expected at least one valid map, got {len(faults)} faults" in error
