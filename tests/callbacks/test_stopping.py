"""Signals end a run once, in one line, at any moment; loader processes ignore them."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import lightning as L
import pytest

from dag.callbacks import StopOnSignal
from tests.training_run import make_module


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[StopOnSignal]:
    callback = StopOnSignal()
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, default_root_dir=tmp_path)
    callback.on_fit_start(trainer, make_module())
    yield callback
    callback.teardown(trainer, make_module(), "fit")


def test_a_signal_ends_the_run_in_one_line(installed: StopOnSignal) -> None:
    with pytest.raises(SystemExit, match="stopped by SIGTERM; run it again to resume from epoch 1"):
        os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)  # a second one does not interrupt the shutdown


def test_a_swallowed_signal_ends_the_run_at_the_next_step(installed: StopOnSignal) -> None:
    installed.on_train_batch_start(L.Trainer.__new__(L.Trainer), make_module(), {}, 0)
    with pytest.raises(SystemExit):
        os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(SystemExit, match="stopped by SIGINT"):
        installed.on_train_batch_start(L.Trainer.__new__(L.Trainer), make_module(), {}, 0)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_loader_processes_leave_ctrl_c_to_their_parent(installed: StopOnSignal) -> None:
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), signal.SIGINT)
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_handlers_are_restored(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    callback, module = StopOnSignal(), make_module()
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, default_root_dir=tmp_path)
    callback.on_fit_start(trainer, module)
    assert signal.getsignal(signal.SIGTERM) not in before
    callback.teardown(trainer, module, "fit")
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
