"""Training curves: one row per epoch."""

from typing import Any, Protocol, runtime_checkable

import lightning as L
from lightning.pytorch.callbacks import Checkpoint


@runtime_checkable
class Validation(Protocol):
    """A callback that validates; `latest` holds the metrics of the current epoch, and is empty without validation."""

    latest: dict[str, float]


class Curves(Checkpoint):
    """Logs losses, learning rate and validation metrics, one row per epoch.

    The rows are part of the resume state, and a resumed run logs them again, so that the files equal those of an
    uninterrupted run. The callback must follow `validation` in the trainer's list.
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
        training = {name: float(value) for name, value in trainer.callback_metrics.items()}
        validation = {f"val/{name}": value for name, value in self.validation.latest.items()}
        self.rows.append((trainer.global_step, {**training, **validation, "epoch": trainer.current_epoch}))
        self._write(trainer, *self.rows[-1])

    def _write(self, trainer: L.Trainer, step: int, row: dict[str, float]) -> None:
        if trainer.logger:
            trainer.logger.log_metrics(row, step, sync=True)  # type: ignore[call-arg]
