import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from dag.data.shards import MANIFEST, Crop, Shards, write_shards
from dag.errors import UserError


def _crops(person_id: int, variants: int = 1) -> list[Crop]:
    rng = np.random.default_rng(person_id)
    people = person_id % 3 + 1
    return [
        Crop(
            person_id=person_id,
            variant=variant,
            image=rng.integers(0, 256, (40, 32, 3), dtype=np.uint8),
            canvas_from_image=rng.normal(size=(2, 3)),
            keypoints_xy=rng.uniform(0, 32, (people + variant, 17, 2)),
            visibility=rng.integers(0, 3, (people + variant, 17), dtype=np.int8),
            occluder=rng.integers(0, 3, (people + variant, 17), dtype=np.int8),
            ignore=rng.integers(0, 2, (10, 8), dtype=np.uint8),
        )
        for variant in range(variants + 1)
    ]


def _write(folder: Path, people: int = 5, shard_mb: float = 0.02) -> list[dict]:
    folder.mkdir()
    shards = write_shards(folder, (_crops(n) for n in range(people)), shard_mb)
    manifest = {"skeleton": "coco17", "input_wh": [24, 32], "canvas_wh": [32, 40], "variants": 1, "shards": shards}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return shards


def test_everything_comes_back(tmp_path: Path) -> None:
    entries = _write(tmp_path / "cache")
    assert [entry["people"] for entry in entries] == [3, 2]
    assert [entry["file"] for entry in entries] == ["train-00000.arrow", "train-00001.arrow"]
    shards = Shards(tmp_path / "cache")
    assert (len(shards), shards.input_wh, shards.canvas_wh, shards.variants) == (5, (24, 32), (32, 40), 1)
    for index in range(5):
        assert shards.person_id(index) == index
        for crop in _crops(index):
            found = shards.crop(index, crop.variant)
            for name, value in vars(crop).items():
                wanted = value.astype(np.float32) if name == "keypoints_xy" else value
                assert np.array_equal(getattr(found, name), wanted), name


def test_shard_size_is_kept(tmp_path: Path) -> None:
    entries = _write(tmp_path / "cache", people=20, shard_mb=0.05)
    one = entries[0]["bytes"] / entries[0]["people"]
    assert all(entry["bytes"] < 0.05e6 + 2 * one for entry in entries)
    assert sum(entry["people"] for entry in entries) == 20


def test_pixels_are_views_of_the_file(tmp_path: Path) -> None:
    _write(tmp_path / "cache")
    image = Shards(tmp_path / "cache").crop(0, 0).image
    assert not image.flags.owndata
    assert not image.flags.writeable


def test_survives_pickling_after_use(tmp_path: Path) -> None:
    _write(tmp_path / "cache")
    shards = Shards(tmp_path / "cache")
    before = shards.crop(4, 1).image.copy()
    assert (pickle.loads(pickle.dumps(shards)).crop(4, 1).image == before).all()


def test_index_outside(tmp_path: Path) -> None:
    _write(tmp_path / "cache")
    with pytest.raises(IndexError):
        Shards(tmp_path / "cache").crop(5, 0)


def test_no_cache(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        Shards(tmp_path)


def test_missing_shard_is_named(tmp_path: Path) -> None:
    _write(tmp_path / "cache")
    (tmp_path / "cache/train-00001.arrow").unlink()
    with pytest.raises(UserError, match=r"train-00001\.arrow: missing or damaged shard: got .*; run `dvc repro cache`"):
        Shards(tmp_path / "cache").crop(4, 0)


def test_truncated_shard_is_named(tmp_path: Path) -> None:
    _write(tmp_path / "cache")
    path = tmp_path / "cache/train-00000.arrow"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"train-00000\.arrow: missing or damaged shard"):
        Shards(tmp_path / "cache").crop(0, 0)


def test_shard_of_another_cache_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "cache")
    folder = tmp_path / "cache"
    (folder / "train-00000.arrow").write_bytes((folder / "train-00001.arrow").read_bytes())
    with pytest.raises(UserError, match=r"train-00000\.arrow: another shard: expected 3 people, got 2"):
        Shards(folder).crop(0, 0)


def test_file_name_that_leaves_the_folder(tmp_path: Path) -> None:
    _write(tmp_path / "cache")
    path = tmp_path / "cache" / MANIFEST
    path.write_text(path.read_text().replace("train-00000.arrow", "../../etc/passwd"))
    with pytest.raises(UserError, match="file name leaves the data root"):
        Shards(tmp_path / "cache").crop(0, 0)
