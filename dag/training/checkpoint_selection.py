"""Checkpoint selection: periodic validation, the last and the best model, early stopping."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint, WeightAveraging
from safetensors import SafetensorError

from dag.errors import UserError
from dag.files import whole_folder
from dag.models.pose import DagPose
from dag.models.weights import save_model
from dag.training.distributed import broadcast_buffers


class CheckpointSelection(Checkpoint):
    """Validates every `every` epochs and at the end, writes the last and the best model, and stops early.

    Args:
        validate: maps the model to named metrics; the last one selects the best model. No metrics: no best model.
        every: epochs between validations.
        early_stop: validations without improvement after which the run ends; 0: never.
        state: folder where the models are written, as `last` and `best`.
    """

    def __init__(self, validate: Callable[[Any], dict[str, float]], every: int, early_stop: int, state: Path):
        self.validate, self.every, self.early_stop, self.state = validate, every, early_stop, state
        self.latest: dict[str, float] = {}
        self.best, self.without_improvement = float("-inf"), 0

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "without_improvement": self.without_improvement}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.without_improvement = state_dict["best"], state_dict["without_improvement"]

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.should_stop = self._is_finished()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        epoch, model = trainer.current_epoch + 1, pl_module.model
        self.latest = {}
        with averaged(trainer, pl_module):
            if epoch % self.every == 0 or epoch == trainer.max_epochs:
                broadcast_buffers([model])  # type: ignore[list-item]
                with torch.compiler.set_stance("force_eager"):  # else every new batch size is compiled
                    self.latest = self.validate(model)
            if trainer.is_global_zero:
                write_model(model, self.state / "last")  # type: ignore[arg-type]
            if self.latest:
                self._select(trainer, model, list(self.latest.values())[-1])

    def _select(self, trainer: L.Trainer, model: Any, metric: float) -> None:
        self.without_improvement += 1
        if metric > self.best:
            self.best, self.without_improvement = metric, 0
            if trainer.is_global_zero:
                write_model(model, self.state / "best")
        if self._is_finished():
            trainer.should_stop = True

    def _is_finished(self) -> bool:
        return bool(self.early_stop) and self.without_improvement >= self.early_stop


@contextmanager
def averaged(trainer: L.Trainer, module: L.LightningModule) -> Iterator[None]:
    """Swap in the moving average of the module's weights during the block, if the trainer keeps one."""
    callbacks = [callback for callback in trainer.callbacks if isinstance(callback, WeightAveraging)]  # type: ignore[attr-defined]
    for callback in callbacks:
        callback.on_validation_epoch_start(trainer, module)
    try:
        yield
    finally:
        for callback in callbacks:
            callback.on_validation_epoch_end(trainer, module)


def write_model(model: DagPose, folder: Path) -> None:
    """`save_model`, atomically.

    Raises:
        UserError: no disk space.
    """
    try:
        with whole_folder(folder) as partial:
            save_model(model, partial)
    except SafetensorError as error:
        do = "free disk space; a rerun resumes from the last completed epoch"
        raise UserError("cannot write", where=folder, got=error, do=do) from None
