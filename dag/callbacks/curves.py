"""Curves of a run, a row an epoch."""

from typing import Any, Protocol, runtime_checkable

import lightning as L
from lightning.pytorch.callbacks import Checkpoint


@runtime_checkable
class Validation(Protocol):
    """A callback that validates; `latest` holds its metrics of this epoch, nothing where it did not validate."""

    latest: dict[str, float]


class Curves(Checkpoint):
    """Losses, rate and validation metrics to the logger, a row an epoch.

    The rows are part of the state, and a run that goes on writes them anew: the files are always those of an
    uninterrupted run. Stands behind `validation` in the trainer's list.
    """

    def __init__(self, validation: Validation):
        self.validation = validation
        self.rows: list[tuple[int, dict[str, float]]] = []

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        for row in self.rows:
            self._write(trainer, *row)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trained = {name: float(value) for name, value in trainer.callback_metrics.items()}
        validated = {f"val/{name}": value for name, value in self.validation.latest.items()}
        self.rows.append((trainer.global_step, {**trained, **validated, "epoch": trainer.current_epoch}))
        self._write(trainer, *self.rows[-1])

    def _write(self, trainer: L.Trainer, step: int, row: dict[str, float]) -> None:
        if trainer.logger:
            trainer.logger.log_metrics(row, step, sync=True)  # type: ignore[call-arg]
