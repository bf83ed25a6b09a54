"""What happens at the end of an epoch: validation, and a state to go on from."""

import os
from collections.abc import Callable
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint


class ValidateAP(L.Callback):
    """Average precision of every output, each `every` epochs and at the end.

    Args:
        figures: model in eval mode -> named figures.
        every: in epochs.
    """

    def __init__(self, figures: Callable[[torch.nn.Module], dict[str, float]], every: int):
        self.figures = figures
        self.every = every

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        if epoch % self.every and epoch != trainer.max_epochs:
            return
        pl_module.eval()
        for name, value in self.figures(pl_module.model).items():  # type: ignore[arg-type]
            pl_module.log(f"val/{name}", value)
        pl_module.train()


class SaveState(Checkpoint):
    """Keep the whole state after every epoch, so that a killed run goes on from there."""

    def __init__(self, path: Path):
        self.path = path

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        partial = self.path.with_suffix(".partial")
        trainer.save_checkpoint(partial, weights_only=False)  # the optimiser too
        os.replace(partial, self.path)
