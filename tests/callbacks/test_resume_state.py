"""Resume state: one folder per run, kept while the run is alive, and written atomically."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import lightning as L
import pytest

from dag.callbacks import SaveState, state_folder
from tests.training_run import make_module


@contextmanager
def running(root: Path, shaped_by: dict) -> Iterator[None]:
    """A process that locks a folder and leaves a state in it; it ends with the block."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        (process.submit(state_folder, root, shaped_by).result() / "last.ckpt").write_text("state")
        yield


def test_another_run_starts_from_scratch(tmp_path: Path) -> None:
    for _ in range(2):
        with running(tmp_path, {"epochs": 1}):
            assert len(list(tmp_path.glob("*/last.ckpt"))) == 1
    second = state_folder(tmp_path, {"epochs": 2})
    assert list(tmp_path.iterdir()) == [second]
    assert not list(second.iterdir())


def test_a_concurrent_run_keeps_its_state(tmp_path: Path) -> None:
    with running(tmp_path, {"epochs": 1}):
        state_folder(tmp_path, {"epochs": 2})
        assert len(list(tmp_path.glob("*/last.ckpt"))) == 1


def test_the_state_is_written_atomically(tmp_path: Path) -> None:
    class Failing(L.Trainer):
        def save_checkpoint(self, filepath: Path, **options: object) -> None:  # type: ignore[override]
            filepath.write_text("half")
            raise OSError("disk full")

    (tmp_path / "last.ckpt").write_text("good")
    trainer = Failing(accelerator="cpu", logger=False, enable_checkpointing=False, default_root_dir=tmp_path)
    with pytest.raises(OSError, match="disk full"):
        SaveState(tmp_path / "last.ckpt").on_train_epoch_end(trainer, make_module())
    assert (tmp_path / "last.ckpt").read_text() == "good"
