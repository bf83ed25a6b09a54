import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dag.cache.shards import MANIFEST, Crop, Shards, check_shards, is_intact, write_shard
from dag.errors import UserError


def _crops(person_id: int, variants: int = 1) -> list[Crop]:
    rng = np.random.default_rng(person_id)
    persons = person_id % 3 + 1
    return [
        Crop(
            person_id=person_id,
            variant=variant,
            image=rng.integers(0, 256, (40, 32, 3), dtype=np.uint8),
            canvas_from_image=rng.normal(size=(2, 3)),
            keypoints_xy=rng.uniform(0, 32, (persons + variant, 17, 2)),
            visibility=rng.integers(0, 3, (persons + variant, 17), dtype=np.int8),
            occluder=rng.integers(0, 3, (persons + variant, 17), dtype=np.int8),
            ignore=rng.integers(0, 2, (10, 8), dtype=np.uint8),
        )
        for variant in range(variants + 1)
    ]


def _write(folder: Path, persons: int = 5, shards: int = 2) -> list[dict]:
    folder.mkdir()
    parts = np.array_split(np.arange(persons), shards)
    entries = [
        write_shard(folder / f"train-{number:05d}.arrow", (_crops(int(n)) for n in part))
        for number, part in enumerate(parts)
    ]
    manifest = {"skeleton": "coco17", "input_wh": [24, 32], "canvas_wh": [32, 40], "variants": 1, "shards": entries}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return entries


def test_shards_round_trip(tmp_path: Path) -> None:
    entries = _write(tmp_path / "cache")
    assert [entry["instances"] for entry in entries] == [3, 2]
    assert [entry["file"] for entry in entries] == ["train-00000.arrow", "train-00001.arrow"]
    shards = Shards(tmp_path / "cache")
    assert (len(shards), shards.input_wh, shards.canvas_wh, shards.variants) == (5, (24, 32), (32, 40), 1)
    for index in range(5):
        assert shards.person_id(index) == index
        for crop in _crops(index):
            stored = shards.crop(index, crop.variant)
            for name, value in vars(crop).items():
                expected = value.astype(np.float32) if name == "keypoints_xy" else value
                assert np.array_equal(getattr(stored, name), expected), name


def test_a_shard_is_written_atomically(tmp_path: Path) -> None:
    def crops() -> Iterator[list[Crop]]:
        yield _crops(0)
        assert [path.name[:18] for path in tmp_path.iterdir()] == [".train-00000.arrow"]
        raise UserError("no more")

    with pytest.raises(UserError, match="no more"):
        write_shard(tmp_path / "train-00000.arrow", crops())
    assert list(tmp_path.iterdir()) == []


def test_two_processes_may_write_the_same_shard(tmp_path: Path) -> None:
    """As when a cluster runs the task of a worker again that it takes for dead."""

    def crops() -> Iterator[list[Crop]]:
        yield _crops(0)
        assert write_shard(tmp_path / "x", [_crops(0), _crops(1)])["instances"] == 2
        yield _crops(1)

    entry = write_shard(tmp_path / "x", crops())
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert is_intact(tmp_path, entry)


def test_any_changed_byte_is_detected(tmp_path: Path) -> None:
    first, second = _write(tmp_path / "cache")
    check_shards(tmp_path / "cache")
    path = tmp_path / "cache" / second["file"]
    content = path.read_bytes()
    for position in (0, len(content) // 3, len(content) - 1):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        assert is_intact(tmp_path / "cache", first)
        assert not is_intact(tmp_path / "cache", second)
        with pytest.raises(UserError, match=r"damaged shards: got train-00001\.arrow; run `dvc repro cache`"):
            check_shards(tmp_path / "cache")
    path.unlink()
    (tmp_path / "cache" / first["file"]).unlink()
    with pytest.raises(UserError, match=r"damaged shards: got train-00000\.arrow, train-00001\.arrow; run"):
        check_shards(tmp_path / "cache")


def test_a_damaged_record_is_an_error(tmp_path: Path) -> None:
    _write(tmp_path / "cache")
    path = tmp_path / "cache/train-00000.arrow"
    content = path.read_bytes()
    after_schema = 16 + int.from_bytes(content[12:16], "little")
    assert content[after_schema : after_schema + 4] == b"\xff\xff\xff\xff"
    path.write_bytes(content[: after_schema + 8] + b"\xff" * 40 + content[after_schema + 48 :])
    with pytest.raises(UserError, match=r"train-00000\.arrow: missing or damaged shard: got .*; run `dvc repro cache`"):
        Shards(tmp_path / "cache").crop(0, 0)


def test_pixels_are_views_of_the_file(tmp_path: Path) -> None:
    _write(tmp_path / "cache")
    image = Shards(tmp_path / "cache").crop(0, 0).image
    assert not image.flags.owndata
    assert not image.flags.writeable


def test_shards_can_be_pickled_after_use(tmp_path: Path) -> None:
    _write(tmp_path / "cache")
    shards = Shards(tmp_path / "cache")
    before = shards.crop(4, 1).image.copy()
    assert (pickle.loads(pickle.dumps(shards)).crop(4, 1).image == before).all()


def test_an_index_out_of_range_is_an_index_error(tmp_path: Path) -> None:
    _write(tmp_path / "cache")
    with pytest.raises(IndexError):
        Shards(tmp_path / "cache").crop(5, 0)


def test_a_missing_cache_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        Shards(tmp_path)


def test_a_missing_shard_is_an_error(tmp_path: Path) -> None:
    _write(tmp_path / "cache")
    (tmp_path / "cache/train-00001.arrow").unlink()
    with pytest.raises(UserError, match=r"train-00001\.arrow: missing or damaged shard: got .*; run `dvc repro cache`"):
        Shards(tmp_path / "cache").crop(4, 0)


def test_a_truncated_shard_is_an_error(tmp_path: Path) -> None:
    _write(tmp_path / "cache")
    path = tmp_path / "cache/train-00000.arrow"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"train-00000\.arrow: missing or damaged shard"):
        Shards(tmp_path / "cache").crop(0, 0)


def test_shard_of_another_cache_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "cache")
    folder = tmp_path / "cache"
    (folder / "train-00000.arrow").write_bytes((folder / "train-00001.arrow").read_bytes())
    with pytest.raises(
        UserError, match=r"train-00000\.arrow: shard of another cache: expected \d+ bytes and 3 instances, got"
    ):
        Shards(folder).crop(0, 0)


def test_a_file_name_that_leaves_the_folder_is_an_error(tmp_path: Path) -> None:
    _write(tmp_path / "cache")
    path = tmp_path / "cache" / MANIFEST
    path.write_text(path.read_text().replace("train-00000.arrow", "../../etc/passwd"))
    with pytest.raises(UserError, match="file name leaves the data root"):
        Shards(tmp_path / "cache").crop(0, 0)
