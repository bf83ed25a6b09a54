import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dag.data.cache import write_cache
from dag.data.cutout import write_pool
from dag.data.shards import Shards
from dag.errors import UserError
from dag.person import read_persons, write_persons
from dag.skeleton import COCO17, CROWDPOSE14
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


def _cache(folder: Path, out: str, workers: int = 1, **changes) -> dict:
    paths = (folder / out, folder / "persons.parquet", folder / "pool.arrow", folder / "photos")
    return write_cache(*paths, **{**KEYWORDS, "workers": workers, **changes})


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    make_toy_set(folder)
    _cache(folder, "cache")
    return folder


def test_rows_are_the_trainable_people_of_the_train_split(toy: Path) -> None:
    shards = Shards(toy / "cache")
    assert [shards.person_id(index) for index in range(len(shards))] == [10, 11, 20, 21, 30, 31]
    manifest = shards.manifest
    assert (manifest["people"], manifest["crops"], manifest["skeleton"]) == (6, 18, "coco17")
    assert manifest["canvas_wh"] == [80, 120]
    assert len(manifest["shards"]) > 1
    assert sum(shard["people"] for shard in manifest["shards"]) == 6


def test_same_bytes_for_one_and_two_workers(toy: Path) -> None:
    _cache(toy, "two", workers=2)
    assert _bytes(toy / "two") == _bytes(toy / "cache")


def test_the_hash_follows_everything_that_shaped_the_cache(toy: Path) -> None:
    first = Shards(toy / "cache").manifest["hash"]
    assert _cache(toy, "again")["hash"] == first
    for change in ({"seed": 2}, {"margin": 1.5}, {"variants": 1}, {"paste": {**KEYWORDS["paste"], "p": 0.4}}):
        assert _cache(toy, "changed", **change)["hash"] != first


def test_a_person_does_not_depend_on_who_else_is_there(toy: Path, tmp_path: Path) -> None:
    make_toy_set(tmp_path)
    persons, skeleton = read_persons(tmp_path / "persons.parquet")
    write_persons(tmp_path / "persons.parquet", [p for p in persons if p.image_id != 1], skeleton)
    no_photo = {"mask": {**KEYWORDS["mask"], "p": 0.0}}
    _cache(tmp_path, "some", **no_photo)
    _cache(toy, "all", **no_photo)
    some, everyone = Shards(tmp_path / "some"), Shards(toy / "all")
    assert (some.crop(0, 2).image == everyone.crop(2, 2).image).all()


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
    with pytest.raises(UserError, match=r"pool\.arrow: the pool is empty, there is nobody to paste; loosen `pool`"):
        _cache(tmp_path, "cache")
    assert not (tmp_path / "cache").exists()
    assert _cache(tmp_path, "cache", paste={**KEYWORDS["paste"], "p": 0.0})["people"] == 6


def test_missing_photograph_stops_and_writes_nothing(tmp_path: Path) -> None:
    make_toy_set(tmp_path)
    (tmp_path / "photos/3.png").unlink()
    with pytest.raises(UserError, match=r"photos/3\.png: missing or unreadable image"):
        _cache(tmp_path, "cache", workers=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["persons.parquet", "photos", "pool.arrow"]


def test_nobody_to_train_on(tmp_path: Path) -> None:
    make_toy_set(tmp_path)
    persons, skeleton = read_persons(tmp_path / "persons.parquet", "train")
    write_persons(tmp_path / "persons.parquet", [p for p in persons if not p.num_keypoints], skeleton)
    with pytest.raises(UserError, match="nobody to train on: expected people with labelled joints, got 0"):
        _cache(tmp_path, "cache")


def test_pool_of_another_skeleton_is_refused(tmp_path: Path) -> None:
    make_toy_set(tmp_path)
    cutout = make_cutout(np.random.default_rng(0))
    fewer = replace(cutout, keypoints_xy=cutout.keypoints_xy[:14], visibility=cutout.visibility[:14])
    write_pool(tmp_path / "pool.arrow", [fewer], CROWDPOSE14)
    with pytest.raises(UserError, match=r"pool\.arrow: the pool's people have other joints: expected 17, got 14"):
        _cache(tmp_path, "cache")


def test_killed_in_the_middle_leaves_no_cache_and_the_rerun_finishes(tmp_path: Path) -> None:
    make_toy_set(tmp_path, photographs=200)
    code = f"from pathlib import Path; from tests.test_cache import _cache; _cache(Path({str(tmp_path)!r}), 'cache')"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    partial = tmp_path / ".cache.partial"
    deadline = time.monotonic() + 60
    while not list(partial.glob("train-00001.arrow")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "cache").exists()
    assert _cache(tmp_path, "cache")["people"] == 400
    assert not partial.exists()


def test_manifest_is_json_with_the_parameters(toy: Path) -> None:
    manifest = json.loads((toy / "cache/manifest.json").read_text())
    assert manifest["shaped_by"]["paste"] == KEYWORDS["paste"]
    assert manifest["shaped_by"]["mask"] == KEYWORDS["mask"]
    assert len(manifest["shaped_by"]["persons"]) == len(manifest["shaped_by"]["pool"]) == 64
    assert COCO17.name == manifest["skeleton"]
