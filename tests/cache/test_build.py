"""The crop cache of toy images: its persons, bytes, errors and manifest."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dag.annotation import read_annotations, write_annotations
from dag.cache.build import write_cache
from dag.cache.shards import Shards
from dag.cache.tasks import MADE_BY, render_shard
from dag.errors import UserError
from dag.parallel import Workers
from dag.pool.pool import write_pool
from dag.skeleton import COCO17, CROWDPOSE14
from tests.imports import ROOT
from tests.makers import make_cutout, make_toy_set

KEYWORDS = {
    "input_wh": (64, 96),
    "margin": 1.25,
    "variants": 2,
    "shard_mb": 0.2,
    "mask": {"p": 0.5, "min_count": 1, "max_count": 8, "min_size": 10.0, "max_size": 40.0},
    "paste": {"p": 0.5, "min_scale": 0.7, "max_scale": 1.3, "max_rotation": 45.0, "max_covered": 0.8},
    "seed": 1,
}


def _cache(folder: Path, out: str, workers: int | Workers = 1, **changes) -> dict:
    workers = Workers(workers) if isinstance(workers, int) else workers
    paths = (folder / out, folder / "annotations.parquet", folder / "pool.arrow", folder / "images")
    return write_cache(*paths, **{**KEYWORDS, "workers": workers, **changes})


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    make_toy_set(folder)
    _cache(folder, "cache")
    return folder


def test_persons_are_the_trainable_ones_of_the_train_split(toy: Path) -> None:
    shards = Shards(toy / "cache")
    assert [shards.person_id(index) for index in range(len(shards))] == [10, 11, 20, 21, 30, 31]
    manifest = shards.manifest
    assert (manifest["instances"], manifest["crops"], manifest["skeleton"]) == (6, 18, "coco17")
    assert manifest["canvas_wh"] == [80, 120]
    assert len(manifest["shards"]) > 1
    assert sum(shard["instances"] for shard in manifest["shards"]) == 6


def test_same_bytes_for_any_number_of_workers(toy: Path) -> None:
    for workers in (0, 2, 3):
        _cache(toy, "others", workers=workers)
        assert _bytes(toy / "others") == _bytes(toy / "cache")
        shutil.rmtree(toy / "others")


def test_crops_are_the_same_for_any_shard_size(toy: Path) -> None:
    one, many = Shards(toy / "cache"), _cache(toy, "one_each", shard_mb=0.001)
    assert [shard["instances"] for shard in many["shards"]] == [1] * 6
    shards = Shards(toy / "one_each")
    for index in range(6):
        assert shards.person_id(index) == one.person_id(index)
        assert all((shards.crop(index, n).image == one.crop(index, n).image).all() for n in range(3))


def test_renderings_do_not_depend_on_other_images(toy: Path, tmp_path: Path) -> None:
    make_toy_set(tmp_path)
    persons, skeleton = read_annotations(tmp_path / "annotations.parquet")
    write_annotations(tmp_path / "annotations.parquet", [p for p in persons if p.image_id != 1], skeleton)
    no_masks = {"mask": {**KEYWORDS["mask"], "p": 0.0}}
    _cache(tmp_path, "some", **no_masks)
    _cache(toy, "all", **no_masks)
    fewer, all_images = Shards(tmp_path / "some"), Shards(toy / "all")
    assert (fewer.crop(0, 2).image == all_images.crop(2, 2).image).all()


def test_sizes_of_rectangles_follow_the_input(toy: Path) -> None:
    fixed = {
        "mask": {**KEYWORDS["mask"], "p": 1.0, "max_count": 1, "min_size": 40.0},
        "paste": {**KEYWORDS["paste"], "p": 0.0},
    }
    _cache(toy, "sizes", **fixed)
    shards = Shards(toy / "sizes")
    changed = (shards.crop(0, 1).image != shards.crop(0, 0).image).any(axis=-1)
    rows, columns = np.nonzero(changed)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 40 * 96 / 256


def test_empty_pool_stops_and_writes_nothing(tmp_path: Path) -> None:
    make_toy_set(tmp_path, cutouts=0)
    with pytest.raises(UserError, match=r"pool\.arrow: the instance pool is empty; loosen `pool`"):
        _cache(tmp_path, "cache")
    assert not (tmp_path / "cache").exists()
    assert _cache(tmp_path, "cache", paste={**KEYWORDS["paste"], "p": 0.0})["instances"] == 6


def test_missing_image_stops_and_writes_nothing(tmp_path: Path) -> None:
    make_toy_set(tmp_path)
    (tmp_path / "images/3.png").unlink()
    with pytest.raises(UserError, match=r"images/3\.png: missing or unreadable image"):
        _cache(tmp_path, "cache", workers=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["annotations.parquet", "images", "pool.arrow"]


def test_a_split_without_trainable_persons_is_an_error(tmp_path: Path) -> None:
    make_toy_set(tmp_path)
    persons, skeleton = read_annotations(tmp_path / "annotations.parquet", "train")
    write_annotations(tmp_path / "annotations.parquet", [p for p in persons if not p.num_keypoints], skeleton)
    with pytest.raises(UserError, match="no persons to train on: expected persons with labelled joints, got 0"):
        _cache(tmp_path, "cache")


def test_pool_of_another_skeleton_is_refused(tmp_path: Path) -> None:
    make_toy_set(tmp_path)
    cutout = make_cutout(np.random.default_rng(0))
    fewer = replace(cutout, keypoints_xy=cutout.keypoints_xy[:14], visibility=cutout.visibility[:14])
    write_pool(tmp_path / "pool.arrow", [fewer], CROWDPOSE14)
    with pytest.raises(
        UserError, match=r"pool\.arrow: the pool's instances have another number of joints: expected 17, got 14"
    ):
        _cache(tmp_path, "cache")


def test_an_error_does_not_change_an_existing_cache(tmp_path: Path) -> None:
    make_toy_set(tmp_path)
    _cache(tmp_path, "cache")
    before = _bytes(tmp_path / "cache")
    (tmp_path / "images/3.png").unlink()
    with pytest.raises(UserError, match=r"images/3\.png: missing or unreadable image"):
        _cache(tmp_path, "cache", seed=2)
    assert _bytes(tmp_path / "cache") == before
    assert not (tmp_path / ".cache.partial").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_is_an_error_of_one_line_and_leaves_nothing(tmp_path: Path, workers: int) -> None:
    """A limit on the size of files stands for a full disk."""
    make_toy_set(tmp_path)
    (tmp_path / "params.yaml").write_text(_params(workers))
    code = (
        "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); "
        f"sys.argv[0] = {str(ROOT / 'pipelines/cache.py')!r}; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    words = ["--annotations", "annotations.parquet", "--pool", "pool.arrow", "--out", "cache", "--sheet", "sheet.jpg"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if "shards:" not in line and line]
    assert re.fullmatch(
        r"error: \S+/\.cache\.partial/train-0000\d\.arrow: cannot write: expected 470400 bytes, "
        r"got \d+ bytes free \(.*File too large.*\); free disk space, or lower cache.variants",
        line,
    ), line
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"params.yaml", "annotations.parquet", "images", "pool.arrow"}


def _params(workers: int) -> str:
    """The default parameters with a larger input and the toy images."""
    text = (ROOT / "presets/default.yaml").read_text()
    text = text.replace("  workers: 2", f"  workers: {workers}").replace("root: data/synthetic", "root: images")
    return text.replace("input_width: 96", "input_width: 192").replace("input_height: 128", "input_height: 256")


def test_a_cache_larger_than_the_free_disk_space_is_refused_before_any_work(tmp_path: Path) -> None:
    make_toy_set(tmp_path)
    shutil.rmtree(tmp_path / "images")
    with pytest.raises(UserError, match=r"cannot write: expected \d{17,} bytes, got \d+ bytes free .*free disk space"):
        _cache(tmp_path, "cache", variants=10**12)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["annotations.parquet", "pool.arrow"]


def test_a_worker_with_other_code_is_refused(toy: Path) -> None:
    stale = {**MADE_BY, "code": "0"}
    with pytest.raises(UserError, match=r"a worker has other code or libraries: .*; restart the cluster's workers"):
        render_shard(
            toy / "x", pa.table({}), np.zeros(0, int), {}, root=toy, pool_path=None, render={}, key="", made_by=stale
        )  # fmt: skip


def test_made_by_has_the_versions_of_libraries_and_code() -> None:
    assert set(MADE_BY) == {"numpy", "opencv", "pyarrow", "code"}
    assert len(MADE_BY["code"]) == 64


def test_the_manifest_describes_the_crops_alone(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No hash of code, libraries or inputs: equal crops give an equal manifest, and training is not run again."""
    for module in ("build", "tasks"):
        monkeypatch.setattr(f"dag.cache.{module}.MADE_BY", {**MADE_BY, "code": "0"})
    _cache(toy, "other_code")
    assert _bytes(toy / "other_code") == _bytes(toy / "cache")
    manifest = json.loads((toy / "cache/manifest.json").read_text())
    assert set(manifest) == {"skeleton", "input_wh", "canvas_wh", "variants", "instances", "crops", "shards"}
    assert manifest["skeleton"] == COCO17.name
