"""A killed run of the crop cache is resumed with the same inputs, parameters and code, and with no others."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dag.cache.tasks import MADE_BY
from tests.cache.test_build import KEYWORDS, _bytes, _cache
from tests.imports import ROOT
from tests.makers import make_toy_set


def _times(folder: Path) -> dict[str, int]:
    """Time of the last modification of each shard; renaming does not change it."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("train-*.arrow")}


def _killed(toy: Path, **changes) -> Path:
    """Folder left by a run that was killed before it wrote the manifest: shards and their notes."""
    work = toy / ".cache.partial"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dag.cache.build.write_json", _stop)
        with pytest.raises(KeyboardInterrupt):
            _cache(toy, "cache", **changes)
    return work


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def test_only_damaged_shards_of_a_killed_run_are_written_again(tmp_path: Path) -> None:
    make_toy_set(tmp_path)
    _cache(tmp_path, "at_once")
    work = _killed(tmp_path)
    times = _times(work)
    damaged, missing = (work / f"train-0000{number}.arrow" for number in (1, 4))
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    missing.unlink()
    _cache(tmp_path, "cache", workers=2)
    assert _bytes(tmp_path / "cache") == _bytes(tmp_path / "at_once")
    after = _times(tmp_path / "cache")
    assert {name for name in times if after[name] != times[name]} == {damaged.name, missing.name}
    assert not work.exists()


@pytest.mark.parametrize("note", ["{", "[]", "{}", None])
def test_shards_without_a_valid_note_are_written_again(tmp_path: Path, note: str | None) -> None:
    make_toy_set(tmp_path)
    work = _killed(tmp_path)
    times = _times(work)
    for path in work.glob("*.arrow.json"):
        path.write_text(note) if note else path.unlink()
    _cache(tmp_path, "cache")
    assert not set(_times(tmp_path / "cache").items()) & set(times.items())


@pytest.mark.parametrize(
    "change", [{"seed": 2}, {"margin": 1.5}, {"variants": 1}, {"paste": {**KEYWORDS["paste"], "p": 0.4}}]
)
def test_a_killed_run_with_other_parameters_is_not_resumed(tmp_path: Path, change: dict) -> None:
    make_toy_set(tmp_path)
    times = _times(_killed(tmp_path))
    _cache(tmp_path, "cache", **change)
    _cache(tmp_path, "from_scratch", **change)
    assert _bytes(tmp_path / "cache") == _bytes(tmp_path / "from_scratch")
    assert not set(_times(tmp_path / "cache").items()) & set(times.items())


def test_a_killed_run_with_other_code_is_not_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_toy_set(tmp_path)
    times = _times(_killed(tmp_path))
    other = {**MADE_BY, "code": "0"}
    monkeypatch.setattr("dag.cache.build.MADE_BY", other)
    monkeypatch.setattr("dag.cache.tasks.MADE_BY", other)
    _cache(tmp_path, "cache")
    assert not set(_times(tmp_path / "cache").items()) & set(times.items())


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    make_toy_set(folder, images=60)
    _cache(folder, "at_once")
    return folder


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_leaves_no_cache_and_is_resumed(many: Path, number: signal.Signals) -> None:
    code = (
        # A shell that runs the tests in the background has SIGINT ignored, and children inherit that.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from pathlib import Path; "
        f"from tests.cache.test_build import _cache; _cache(Path({str(many)!r}), 'cache')"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, cwd=ROOT)
    partial, deadline = many / ".cache.partial", time.monotonic() + 60
    while not list(partial.glob("train-00004.arrow")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(process.pid, number)
    assert process.wait() != 0
    assert not (many / "cache").exists()
    times = _times(partial)
    assert len(times) >= 5
    assert _cache(many, "cache")["instances"] == 120
    kept = set(_times(many / "cache").items()) & set(times.items())
    assert len(kept) >= len(times) - 1, "only the shard that was being written is written again"
    assert not partial.exists()
    assert _bytes(many / "cache") == _bytes(many / "at_once")
    shutil.rmtree(many / "cache")
