"""Progress of a run: a bar on a terminal, else one line per epoch; throughput and data wait of every epoch."""

import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import RichProgressBar

from dag.files import whole_file

LINE_INTERVAL = 10.0
"""Minimum number of seconds between two lines."""


class Speed(L.Callback):
    """Writes the throughput and the data wait of every epoch since the last start to a table.

    Its columns are `epoch`, `images_per_second` and `data_wait`, the fraction of the time from the start of the epoch
    to the end of its last step in which the loop waited for a batch. CUDA runs asynchronously: there the wait of the
    Python program is measured, not that of the device.

    Args:
        path: of the table (.tsv).
        batch_size: images per step, over all processes.
    """

    def __init__(self, path: Path, batch_size: int):
        self.path, self.batch_size = path, batch_size
        self.rows: list[tuple[int, float, float]] = []
        self.fit_start = self.epoch_start = self.step_end = self.wait = 0.0
        self.steps = self.epochs = 0
        self.loss = float("nan")

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.fit_start = monotonic()

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.epoch_start = self.step_end = monotonic()
        self.wait, self.steps = 0.0, 0

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.wait += monotonic() - self.step_end

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.step_end = monotonic()
        self.steps += 1

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.loss = float(trainer.callback_metrics["train/loss"])  # on every process: reading it reduces over them
        seconds = self.step_end - self.epoch_start
        self.rows.append((trainer.current_epoch, self.steps * self.batch_size / seconds, self.wait / seconds))
        self.epochs += 1
        if trainer.is_global_zero:
            lines = [f"{epoch}\t{speed:.1f}\t{wait:.4f}" for epoch, speed, wait in self.rows]
            with whole_file(self.path) as partial:
                partial.write_text("\n".join(["epoch\timages_per_second\tdata_wait", *lines]) + "\n")

    def remaining(self, trainer: L.Trainer) -> timedelta | None:
        """Estimated time to the end of the last epoch, with validations; None in the first epoch."""
        if not self.epochs:
            return None
        epochs = (trainer.max_epochs or 0) - trainer.current_epoch - 1
        return timedelta(seconds=round((monotonic() - self.fit_start) / self.epochs * epochs))


class Lines(L.Callback):
    """Prints one line per epoch, at most every `LINE_INTERVAL` seconds, and one after the last epoch."""

    def __init__(self, speed: Speed):
        self.speed = speed
        self.last = -LINE_INTERVAL

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        epoch, now = trainer.current_epoch + 1, monotonic()
        if not trainer.is_global_zero or (now - self.last < LINE_INTERVAL and epoch != trainer.max_epochs):
            return
        self.last = now
        _, speed, wait = self.speed.rows[-1]
        progress = f"epoch {epoch} of {trainer.max_epochs}: loss {self.speed.loss:.4f}"
        remaining = self.speed.remaining(trainer)
        print(f"{progress}, {speed:.0f} images/s, data wait {wait:.0%}, {remaining} left", file=sys.stderr)


class Bar(RichProgressBar):
    """A progress bar per epoch, with the remaining time of the run."""

    def __init__(self, speed: Speed):
        super().__init__()
        self.speed = speed

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        return {"loss": self.speed.loss, "left": str(self.speed.remaining(trainer) or "?")}


def progress_callbacks(path: Path, batch_size: int) -> Sequence[L.Callback]:
    """`Speed`, and the bar or lines that display it."""
    speed = Speed(path, batch_size)
    return [speed, Bar(speed) if sys.stderr.isatty() else Lines(speed)]
