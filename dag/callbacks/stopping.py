"""The end of a run from outside: a signal, or another process of it that is gone."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import lightning as L

from dag.errors import UserError

LOST = ("gloo", "nccl", "connection", "timed out", "peer")


class StopOnSignal(L.Callback):
    """SIGTERM and Ctrl-C end the run at once, in one line: what is on disk is whole at any moment.

    In the place of Lightning's handler, which ends a run behind the current epoch.
    """

    def __init__(self) -> None:
        self.before: dict[int, Any] = {}
        self.end: SystemExit | None = None

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        process = os.getpid()

        def stop(number: int, frame: FrameType | None) -> None:
            if os.getpid() != process:
                return  # a loader process: Ctrl-C reaches it too, and it ends with this one
            for other in self.before:
                signal.signal(other, signal.SIG_IGN)
            kill = getattr(trainer.strategy.launcher, "kill", None)
            if kill:
                kill(signal.SIGTERM)
            name = signal.Signals(number).name
            line = f"stopped by {name}: run it again and it goes on from epoch {trainer.current_epoch + 1}"
            self.end = SystemExit(line if trainer.is_global_zero else 1)
            raise self.end

        self.before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self.end:  # the signal came where Python swallows what is raised, as in an object's __del__
            raise self.end

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)


@contextmanager
def lost_process(trainer: L.Trainer) -> Iterator[None]:
    """An error of the connection to another process as one line.

    Raises:
        UserError: in its place.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error).lower()
        if trainer.world_size == 1 or not any(word in text for word in LOST):
            raise
        raise UserError(
            "another process of this training has ended",
            where=f"process {trainer.global_rank} of {trainer.world_size}",
            got=str(error).splitlines()[0][:200],
            do=f"see what it said; run again, and it goes on from epoch {trainer.current_epoch + 1}",
        ) from None
