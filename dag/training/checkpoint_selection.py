"""Validation, and the models that are kept: the last one and the best one."""

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
from dag.training.distributed import same_buffers


class CheckpointSelection(Checkpoint):
    """Metrics every few epochs and at the end; the last and the best model; the end of a run without gain.

    Args:
        metrics: model in eval mode -> named metrics, the last of them the one that models are judged by.
        every: in epochs.
        early_stop: validations without gain after which the run ends; 0: never.
        state: folder where the models are written, as `last` and `best`.
    """

    def __init__(self, metrics: Callable[[Any], dict[str, float]], every: int, early_stop: int, state: Path):
        self.metrics, self.every, self.early_stop, self.state = metrics, every, early_stop, state
        self.latest: dict[str, float] = {}
        self.best, self.without_gain = float("-inf"), 0

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "without_gain": self.without_gain}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.without_gain = state_dict["best"], state_dict["without_gain"]

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.should_stop = bool(self.early_stop) and self.without_gain >= self.early_stop

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        epoch, model = trainer.current_epoch + 1, pl_module.model
        self.latest = {}
        with averaged(trainer, pl_module):
            if epoch % self.every == 0 or epoch == trainer.max_epochs:
                same_buffers([model])  # type: ignore[list-item]
                with torch.compiler.set_stance("force_eager"):  # no compilation for each size of a last batch
                    self.latest = self.metrics(model)
            if trainer.is_global_zero:
                write_model(model, self.state / "last")  # type: ignore[arg-type]
            if self.latest:
                self._judge(trainer, model, list(self.latest.values())[-1])

    def _judge(self, trainer: L.Trainer, model: Any, figure: float) -> None:
        self.without_gain += 1
        if figure > self.best:
            self.best, self.without_gain = figure, 0
            if trainer.is_global_zero:
                write_model(model, self.state / "best")
        if self.early_stop and self.without_gain >= self.early_stop:
            trainer.should_stop = True


@contextmanager
def averaged(trainer: L.Trainer, module: L.LightningModule) -> Iterator[None]:
    """The module has the moving average of its weights meanwhile, where the trainer keeps one."""
    callbacks = [callback for callback in trainer.callbacks if isinstance(callback, WeightAveraging)]  # type: ignore[attr-defined]
    for callback in callbacks:
        callback.on_validation_epoch_start(trainer, module)
    try:
        yield
    finally:
        for callback in callbacks:
            callback.on_validation_epoch_end(trainer, module)


def write_model(model: DagPose, folder: Path) -> None:
    """`save_model`, whole or not at all.

    Raises:
        UserError: there is no room.
    """
    try:
        with whole_folder(folder) as partial:
            save_model(model, partial)
    except SafetensorError as error:
        raise UserError("cannot write", where=folder, got=error, do="make room; a rerun goes on") from None
