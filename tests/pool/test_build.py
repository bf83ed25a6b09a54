"""The pool of constructed images: accepted persons, reasons for rejection, equal bytes for any number of workers."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dag.annotation import PersonAnnotation, write_annotations
from dag.augmentation.occlusion import check_pool
from dag.errors import UserError
from dag.parallel import Workers
from dag.parsing.load import load_parser
from dag.parsing.mask_parser import MaskParser
from dag.pool.build import build_pool, pool_metrics
from dag.pool.pool import Pool
from dag.pool.quality import Rejection, soft_alpha, write_quality
from dag.skeleton import COCO17
from tests.imports import ROOT
from tests.pool.test_quality import LIMITS
from tests.standing import HEIGHT, WIDTH, image, outline, standing


def on(image_id: int, person: PersonAnnotation, **changes) -> PersonAnnotation:
    """The annotation on another image."""
    return PersonAnnotation(**{**vars(person), "image_id": image_id, "image_path": f"{image_id}.png", **changes})


def persons_by_rejection() -> dict[str, list[PersonAnnotation]]:
    """Persons of one image each, by the expected rejection of the first person."""
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
        Rejection.OCCLUDED: [standing(6, 60, mask=no_legs, visibility=dict.fromkeys(range(13, 17), 1))],
        Rejection.NOT_SEPARABLE: [standing(7, 60), standing(70, 66, masked=True)],
        Rejection.JOINTS_OUTSIDE: [standing(8, 60, mask=arm_outside)],
        Rejection.TRUNCATED: [standing(9, 60, 58)],
        Rejection.FRAGMENTARY: [standing(10, 60, mask=no_arms)],
    }
    return {name: [on(number, p) for p in persons] for number, (name, persons) in enumerate(cases.items(), start=1)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for number in range(1, 12):
        pixels = image(outline(60, 25)) + np.uint8(number)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    return folder


def build(path: Path, root: Path, persons: list[PersonAnnotation], workers: int = 1, parser=None, **limits):
    keywords = {**LIMITS, **limits, "workers": Workers(workers)}
    return build_pool(path, persons, root, parser or MaskParser(), COCO17, **keywords)


def test_every_reason_for_rejection_is_detected_and_counted(tmp_path, root):
    images = persons_by_rejection()
    persons = [person for image_persons in images.values() for person in image_persons]
    qualities = build(tmp_path / "pool.arrow", root, persons)
    assert [quality.person_id for quality in qualities] == [person.person_id for person in persons]
    reasons = {quality.person_id: quality.rejection for quality in qualities}
    assert {name: reasons[image_persons[0].person_id] for name, image_persons in images.items()} == {
        name: None if name == "accepted" else name for name in images
    }
    metrics = pool_metrics(qualities)
    assert metrics["persons"] == len(persons) == metrics["accepted"] + sum(metrics["rejected"].values())
    assert metrics["rejected"]["not separable"] == 2
    assert metrics["rejected"]["disagrees with annotated mask"] == 0
    assert metrics["mean"]["mask_iou"] == metrics["mean"]["joints_inside"] == 1
    pool = Pool(tmp_path / "pool.arrow")
    assert [cutout.person_id for cutout in pool] == [1]
    assert pool.rejected == {reason: count for reason, count in metrics["rejected"].items() if count}


def test_a_parser_that_disagrees_with_the_annotated_mask(tmp_path, root):
    swapped = outline(60, 25)
    swapped[100:, 60:] = True
    person = on(1, standing(1, 60, mask=swapped))

    class WholeBody(MaskParser):
        """A parser that predicts the whole outline."""

        def parse(self, image, people, targets):
            return super().parse(image, [on(1, standing(1, 60))], targets)

    [quality] = build(tmp_path / "pool.arrow", root, [person], parser=WholeBody())
    assert quality.rejection is Rejection.MASK_DISAGREES


def test_cutout_contains_only_the_person(tmp_path, root):
    person = on(3, standing(1, 60, visibility={0: 0, 9: 1}))
    build(tmp_path / "pool.arrow", root, [person], max_occlusion_ratio=1.0)
    [cutout] = Pool(tmp_path / "pool.arrow")
    alpha = soft_alpha(outline(60, 25).astype(np.uint8))
    rows, columns = np.nonzero(alpha)
    left, top = columns.min(), rows.min()
    height, width = cutout.parts.shape
    assert (height, width) == (np.ptp(rows) + 1, np.ptp(columns) + 1)
    pixels = image(outline(60, 25)) + np.uint8(3)
    assert (cutout.rgba[..., :3] == pixels[top : top + height, left : left + width]).all()
    assert (cutout.rgba[..., 3] == alpha[top : top + height, left : left + width]).all()
    assert not (alpha[~outline(60, 25)]).any()
    assert ((cutout.parts > 0) == (cutout.rgba[..., 3] > 0)).all()
    np.testing.assert_array_equal(cutout.keypoints_xy[0], [0, 0])
    np.testing.assert_array_equal(cutout.keypoints_xy[1:] + (left, top), person.keypoints_xy[1:])
    np.testing.assert_array_equal(cutout.visibility, person.visibility)


def test_same_bytes_for_any_number_of_workers(tmp_path, root):
    persons = [on(number, standing(number, 60, 25 if number % 2 else 58)) for number in range(1, 12)]
    for workers in (0, 1, 2):
        qualities = build(tmp_path / f"{workers}.arrow", root, persons, workers)
        write_quality(tmp_path / f"{workers}.parquet", qualities)
        assert [quality.image_path for quality in qualities] == [person.image_path for person in persons]
    for kind in ("arrow", "parquet"):
        first, *rest = [(tmp_path / f"{workers}.{kind}").read_bytes() for workers in (0, 1, 2)]
        assert all(bytes_ == first for bytes_ in rest)
    assert len(Pool(tmp_path / "2.arrow")) == 6
    assert Pool(tmp_path / "2.arrow").rejected == {"truncated at the image border": 5}


@pytest.mark.parametrize("workers", [1, 2])
def test_missing_image_is_named_and_nothing_is_written(tmp_path, root, workers):
    persons = [on(1, standing(1, 60)), on(99, standing(2, 60))]
    with pytest.raises(UserError, match=r"99\.png: missing or unreadable image"):
        build(tmp_path / "pool.arrow", root, persons, workers)
    assert not list(tmp_path.iterdir())


def stage(folder: Path, persons: list[PersonAnnotation], root: Path) -> subprocess.CompletedProcess:
    """Run the stage script in a new project folder."""
    write_annotations(folder / "annotations.parquet", persons, COCO17)
    params = (ROOT / "presets/default.yaml").read_text().replace("root: data/synthetic", f"root: {root}")
    (folder / "params.yaml").write_text(params)
    outputs = {"out": "pool.arrow", "quality": "quality.parquet", "metrics": "metrics.json", "sheet": "sheet.jpg"}
    options = {"annotations": "annotations.parquet", "parser": ROOT / "presets/parsers/masks.yaml", **outputs}
    words = [str(word) for option, value in options.items() for word in (f"--{option}", value)]
    command = [sys.executable, str(ROOT / "pipelines/pool.py"), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)})


def test_stage_writes_pool_quality_metrics_and_sheet(tmp_path, root):
    persons = [on(1, standing(1, 60)), on(2, standing(3, 60, is_crowd=True)), on(1, standing(2, 60), split="val")]
    done = stage(tmp_path, persons, root)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["persons"], metrics["accepted"]) == (2, 1)
    assert len(Pool(tmp_path / "pool.arrow")) == 1
    table = pq.read_table(tmp_path / "quality.parquet", columns=["person_id", "image_path", "rejection"])
    assert table.to_pylist() == [
        {"person_id": 1, "image_path": "1.png", "rejection": None},
        {"person_id": 3, "image_path": "2.png", "rejection": "crowd"},
    ]
    assert cv2.imread(str(tmp_path / "sheet.jpg")).shape[2] == 3


def test_stage_warns_of_an_empty_pool_and_the_error_lists_the_reasons(tmp_path, root):
    persons = [on(1, standing(1, 60, is_crowd=True)), on(2, standing(2, 60, 58)), on(3, standing(3, 60, 58))]
    done = stage(tmp_path, persons, root)
    assert done.returncode == 0, done.stderr
    assert "warning: the instance pool is empty; 3 persons rejected:" in done.stderr
    assert "'crowd': 1" in done.stderr
    pool = Pool(tmp_path / "pool.arrow")
    assert len(pool) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["rejected"]["crowd"] == 1
    assert metrics["mean"] == {}
    with pytest.raises(UserError) as error:
        check_pool(pool)
    assert str(error.value) == (
        f"{tmp_path}/pool.arrow: the instance pool is empty: got 3 persons rejected (crowd: 1, "
        "truncated at the image border: 2); loosen `pool` in params.yaml or set cache.paste_instance.p to 0"
    )


def test_files_that_are_no_pools_are_errors(tmp_path):
    table = pa.table({"a": [1]})
    for name, content in (("table.arrow", table), ("empty.arrow", table[:0])):
        with pa.OSFile(str(tmp_path / name), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(content)
    (tmp_path / "text.arrow").write_text("no Arrow file at all")
    with pytest.raises(
        UserError, match=r"table\.arrow: not a pool: expected rejection counts, got none; run `dvc repro"
    ):
        Pool(tmp_path / "table.arrow")
    for name in ("empty.arrow", "text.arrow", "missing.arrow"):
        with pytest.raises(UserError, match=rf"{name}: not a pool: .*; run `dvc repro pool`"):
            Pool(tmp_path / name)


def test_real_persons_are_cut_out_by_bodypix(tmp_path, real_data, monkeypatch):
    from dag.convert.coco import read_coco

    monkeypatch.setenv("DAG_REAL_DATA", str(real_data))
    root = real_data / "data/coco"
    annotations = root / "annotations/person_keypoints_train2017.json"
    persons, _ = read_coco(annotations, dataset="coco", split="train", skeleton=COCO17, image_folder="train2017")
    parser = load_parser(str(ROOT / "presets/parsers/bodypix.yaml"), COCO17)
    limits = {"min_mask_iou": 0.8, "min_joints_inside": 0.95}
    for workers in (1, 2):
        qualities = build(tmp_path / f"{workers}.arrow", root, persons, workers, parser, **limits)
    assert (tmp_path / "1.arrow").read_bytes() == (tmp_path / "2.arrow").read_bytes()
    metrics = pool_metrics(qualities)
    assert metrics["persons"] == 244
    assert metrics["accepted"] >= 10
    assert metrics["rejected"]["crowd"] == 8
    assert metrics["mean"]["mask_iou"] > 0.8
    assert all(cutout.parts.max() <= 24 < WIDTH for cutout in Pool(tmp_path / "1.arrow"))
