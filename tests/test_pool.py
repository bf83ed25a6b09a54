"""The pool from constructed photographs: who is cut out, who is not and why, and the same bytes for any workers."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from dag.data.cutout import Pool
from dag.data.parsing import load_parser
from dag.data.parsing.masks import MaskParser
from dag.data.pool import build_pool, pool_metrics
from dag.data.quality import Rejection, soft_alpha
from dag.errors import UserError
from dag.person import Person, write_persons
from dag.skeleton import COCO17
from tests.imports import ROOT
from tests.standing import HEIGHT, WIDTH, outline, photograph, standing
from tests.test_quality import LIMITS


def on(image_id: int, person: Person, **changes) -> Person:
    """The row on another photograph."""
    return Person(**{**vars(person), "image_id": image_id, "image_path": f"{image_id}.png", **changes})


def everybody() -> dict[str, list[Person]]:
    """Photographs by what becomes of the first person on them."""
    no_legs, no_arms = outline(60, 25), outline(60, 25)
    no_legs[25 + 105 :] = False
    no_arms[25 + 60 : 25 + 68, 40:130] = False
    arm_outside = outline(60, 25)
    arm_outside[25 + 45 : 25 + 115, :80] = False
    cases = {
        "accepted": [standing(1, 60)],
        Rejection.CROWD: [standing(2, 60, is_crowd=True)],
        Rejection.NO_KEYPOINTS: [standing(3, 60, visibility=dict.fromkeys(range(17), 0))],
        Rejection.TOO_SMALL: [standing(4, 60, mask=outline(60, 25) & (np.arange(HEIGHT) < 80)[:, None])],
        Rejection.FEW_VISIBLE: [standing(5, 60, visibility=dict.fromkeys(range(7, 17), 1))],
        Rejection.HIDDEN: [standing(6, 60, mask=no_legs, visibility=dict.fromkeys(range(13, 17), 1))],
        Rejection.NOT_SEPARABLE: [standing(7, 60), standing(70, 66, masked=True)],
        Rejection.JOINTS_OUTSIDE: [standing(8, 60, mask=arm_outside)],
        Rejection.TRUNCATED: [standing(9, 60, 58)],
        Rejection.FRAGMENTARY: [standing(10, 60, mask=no_arms)],
    }
    return {name: [on(number, row) for row in rows] for number, (name, rows) in enumerate(cases.items(), start=1)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(1, 12):
        image = photograph(outline(60, 25)) + np.uint8(number)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return folder


def build(path: Path, root: Path, rows: list[Person], workers: int = 1, parser=None, **limits):
    return build_pool(path, rows, root, parser or MaskParser(), COCO17, **{**LIMITS, **limits}, workers=workers)


def test_every_reason_is_found_and_counted(tmp_path, root):
    photographs = everybody()
    rows = [row for people in photographs.values() for row in people]
    qualities = build(tmp_path / "pool.arrow", root, rows)
    assert [quality.person_id for quality in qualities] == [row.person_id for row in rows]
    first = {quality.person_id: quality.rejection for quality in qualities}
    assert {name: first[people[0].person_id] for name, people in photographs.items()} == {
        name: None if name == "accepted" else name for name in photographs
    }
    metrics = pool_metrics(qualities)
    assert metrics["persons"] == len(rows) == metrics["accepted"] + sum(metrics["rejected"].values())
    assert metrics["rejected"]["not separable"] == 2
    assert metrics["rejected"]["disagrees with annotated mask"] == 0
    assert metrics["mean"]["mask_iou"] == metrics["mean"]["joints_inside"] == 1
    assert [cutout.person_id for cutout in Pool(tmp_path / "pool.arrow")] == [1]


def test_a_parser_that_disagrees_with_the_annotated_mask(tmp_path, root):
    swapped = outline(60, 25)
    swapped[100:, 60:] = True
    person = on(1, standing(1, 60, mask=swapped))

    class WholeBody(MaskParser):
        """A parser that finds the true outline."""

        def parse(self, image, people, targets):
            return super().parse(image, [on(1, standing(1, 60))], targets)

    [quality] = build(tmp_path / "pool.arrow", root, [person], parser=WholeBody())
    assert quality.rejection is Rejection.MASK_DISAGREES


def test_cutout_holds_the_person_and_nothing_else(tmp_path, root):
    person = on(3, standing(1, 60, visibility={0: 0, 9: 1}))
    build(tmp_path / "pool.arrow", root, [person], max_hidden_share=1.0)
    [cutout] = Pool(tmp_path / "pool.arrow")
    alpha = soft_alpha(outline(60, 25).astype(np.uint8))
    rows, columns = np.nonzero(alpha)
    left, top = columns.min(), rows.min()
    height, width = cutout.parts.shape
    assert (height, width) == (np.ptp(rows) + 1, np.ptp(columns) + 1)
    image = photograph(outline(60, 25)) + np.uint8(3)
    assert (cutout.rgba[..., :3] == image[top : top + height, left : left + width]).all()
    assert (cutout.rgba[..., 3] == alpha[top : top + height, left : left + width]).all()
    assert not (alpha[~outline(60, 25)]).any()
    assert ((cutout.parts > 0) == (cutout.rgba[..., 3] > 0)).all()
    np.testing.assert_array_equal(cutout.keypoints_xy[0], [0, 0])
    np.testing.assert_array_equal(cutout.keypoints_xy[1:] + (left, top), person.keypoints_xy[1:])
    np.testing.assert_array_equal(cutout.visibility, person.visibility)


def test_same_bytes_for_any_number_of_workers(tmp_path, root):
    rows = [on(number, standing(number, 60)) for number in range(1, 12)]
    qualities = [build(tmp_path / f"{workers}.arrow", root, rows, workers) for workers in (0, 1, 2)]
    first, *rest = [(tmp_path / f"{workers}.arrow").read_bytes() for workers in (0, 1, 2)]
    assert all(bytes_ == first for bytes_ in rest)
    assert qualities[0] == qualities[1] == qualities[2]
    assert len(Pool(tmp_path / "2.arrow")) == 11


@pytest.mark.parametrize("workers", [1, 2])
def test_missing_photograph_is_named_and_nothing_is_written(tmp_path, root, workers):
    rows = [on(1, standing(1, 60)), on(99, standing(2, 60))]
    with pytest.raises(UserError, match=r"99\.png: missing or unreadable image"):
        build(tmp_path / "pool.arrow", root, rows, workers)
    assert not list(tmp_path.iterdir())


def stage(folder: Path, rows: list[Person], root: Path) -> subprocess.CompletedProcess:
    """Run the stage script in a project of its own."""
    write_persons(folder / "persons.parquet", rows, COCO17)
    params = (ROOT / "presets/default.yaml").read_text().replace("root: data/figures", f"root: {root}")
    (folder / "params.yaml").write_text(params)
    options = ("persons=persons.parquet", "out=pool.arrow", "metrics=results/metrics.json", "sheet=results/sheet.jpg")
    words = [word for option in options for word in ("--" + option).split("=")]
    command = [sys.executable, str(ROOT / "pipelines/pool.py"), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)})


def test_stage_writes_pool_metrics_and_sheet(tmp_path, root):
    done = stage(tmp_path, [on(1, standing(1, 60)), on(1, standing(2, 60), split="val")], root)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "results/metrics.json").read_text())
    assert (metrics["persons"], metrics["accepted"]) == (1, 1)
    assert len(Pool(tmp_path / "pool.arrow")) == 1
    assert cv2.imread(str(tmp_path / "results/sheet.jpg")).shape[2] == 3


def test_stage_warns_of_an_empty_pool_and_says_why(tmp_path, root):
    done = stage(tmp_path, [on(1, standing(1, 60, is_crowd=True))], root)
    assert done.returncode == 0, done.stderr
    assert "warning: the pool is empty; of 1 people rejected:" in done.stderr
    assert "'crowd': 1" in done.stderr
    assert len(Pool(tmp_path / "pool.arrow")) == 0
    metrics = json.loads((tmp_path / "results/metrics.json").read_text())
    assert metrics["rejected"]["crowd"] == 1
    assert metrics["mean"] == {}


def test_real_people_are_cut_out_by_bodypix(tmp_path, real_data, monkeypatch):
    from dag.data.coco_json import read_coco

    monkeypatch.setenv("DAG_REAL_DATA", str(real_data))
    root = real_data / "data/coco"
    annotations = root / "annotations/person_keypoints_train2017.json"
    rows, _ = read_coco(annotations, dataset="coco", split="train", skeleton=COCO17, image_folder="train2017")
    parser = load_parser(str(ROOT / "presets/parsers/bodypix.yaml"), COCO17)
    limits = {"min_mask_iou": 0.8, "min_joints_inside": 0.95}
    for workers in (1, 2):
        qualities = build(tmp_path / f"{workers}.arrow", root, rows, workers, parser, **limits)
    assert (tmp_path / "1.arrow").read_bytes() == (tmp_path / "2.arrow").read_bytes()
    metrics = pool_metrics(qualities)
    assert metrics["persons"] == 244
    assert metrics["accepted"] >= 10
    assert metrics["rejected"]["crowd"] == 8
    assert metrics["mean"]["mask_iou"] > 0.8
    assert all(cutout.parts.max() <= 24 < WIDTH for cutout in Pool(tmp_path / "1.arrow"))
