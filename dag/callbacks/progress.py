"""How far a run is: a bar on a terminal, else a line an epoch; how fast it is, and how long it waits for its data."""

import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import RichProgressBar

from dag.files import whole_file

LINE_EVERY = 10.0
"""Seconds between two lines, at least."""


class Speed(L.Callback):
    """Times the steps; writes `images_per_second` and `waiting` of every epoch of this process's life to a table.

    `waiting` is the share of the time between the first and the last step in which no batch was at hand. Steps on CUDA
    run behind the program: what is counted there is the waiting that the program sees.

    Args:
        path: of the table (.tsv).
        people: in a step, of all processes together.
    """

    def __init__(self, path: Path, people: int):
        self.path, self.people = path, people
        self.rows: list[tuple[int, float, float]] = []
        self.begun = self.started = self.ended = self.waited = 0.0
        self.batches = self.epochs = 0
        self.loss = float("nan")

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.begun = monotonic()

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.started = self.ended = monotonic()
        self.waited, self.batches = 0.0, 0

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.waited += monotonic() - self.ended

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.ended = monotonic()
        self.batches += 1

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.loss = float(trainer.callback_metrics["train/loss"])  # all processes must ask, it is a mean over them
        seconds = self.ended - self.started
        self.rows.append((trainer.current_epoch, self.batches * self.people / seconds, self.waited / seconds))
        self.epochs += 1
        if trainer.is_global_zero:
            lines = [
                "epoch\timages_per_second\twaiting",
                *(f"{e}\t{rate:.1f}\t{wait:.4f}" for e, rate, wait in self.rows),
            ]
            with whole_file(self.path) as partial:
                partial.write_text("\n".join(lines) + "\n")

    def left(self, trainer: L.Trainer) -> timedelta | None:
        """Time until the last epoch ends, validations included; None in the first epoch."""
        if not self.epochs:
            return None
        epochs = (trainer.max_epochs or 0) - trainer.current_epoch - 1
        return timedelta(seconds=round((monotonic() - self.begun) / self.epochs * epochs))


class Lines(L.Callback):
    """A line an epoch, at most every ten seconds, and at the end."""

    def __init__(self, speed: Speed):
        self.speed = speed
        self.last = -LINE_EVERY

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        epoch, now = trainer.current_epoch + 1, monotonic()
        if not trainer.is_global_zero or (now - self.last < LINE_EVERY and epoch != trainer.max_epochs):
            return
        self.last = now
        _, rate, waiting = self.speed.rows[-1]
        speed = f"{rate:.0f} images/s, waiting for data {waiting:.0%}"
        left = self.speed.left(trainer)
        print(
            f"epoch {epoch} of {trainer.max_epochs}: loss {self.speed.loss:.4f}, {speed}, {left} left", file=sys.stderr
        )


class Bar(RichProgressBar):
    """A bar an epoch, with the time left to the end of the run."""

    def __init__(self, speed: Speed):
        super().__init__()
        self.speed = speed

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        left = self.speed.left(trainer)
        return {"loss": self.speed.loss, "left": str(left or "?")}


def progress_callbacks(path: Path, people: int) -> Sequence[L.Callback]:
    """`Speed`, and what shows it."""
    speed = Speed(path, people)
    return [speed, Bar(speed) if sys.stderr.isatty() else Lines(speed)]
