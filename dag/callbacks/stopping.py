"""Ends a run in one line after a signal, or after another of its processes has ended."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import lightning as L

from dag.errors import UserError

CONNECTION_ERRORS = ("gloo", "nccl", "connection", "timed out", "peer")
"""Words in the messages of errors that torch raises when another process is gone."""


class StopOnSignal(L.Callback):
    """Ends the run at once, with a one-line message, on SIGTERM and Ctrl-C; files on disk are complete at any time.

    It replaces Lightning's handler, which ends a run after the current epoch.
    """

    def __init__(self) -> None:
        self.previous: dict[int, Any] = {}
        self.exit: SystemExit | None = None

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        process = os.getpid()

        def stop(number: int, frame: FrameType | None) -> None:
            if os.getpid() != process:
                return  # a loader process, which Ctrl-C reaches too; it ends with this one
            for other in self.previous:
                signal.signal(other, signal.SIG_IGN)
            kill = getattr(trainer.strategy.launcher, "kill", None)
            if kill:
                kill(signal.SIGTERM)
            name = signal.Signals(number).name
            line = f"stopped by {name}; run it again to resume from epoch {trainer.current_epoch + 1}"
            self.exit = SystemExit(line if trainer.is_global_zero else 1)
            raise self.exit

        self.previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self.exit:  # Python swallowed the exception, as in an object's __del__
            raise self.exit

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)


@contextmanager
def lost_process(trainer: L.Trainer) -> Iterator[None]:
    """Report a connection error to another process of the run as a `UserError`.

    Raises:
        UserError: another process has ended.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error).lower()
        if trainer.world_size == 1 or not any(word in text for word in CONNECTION_ERRORS):
            raise
        raise UserError(
            "another process of this training has ended",
            where=f"process {trainer.global_rank} of {trainer.world_size}",
            got=str(error).splitlines()[0][:200],
            do=f"see its output; run again to resume from epoch {trainer.current_epoch + 1}",
        ) from None
