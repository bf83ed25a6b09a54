"""Saves the resume state of a training run at the end of every epoch."""

import os
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Checkpoint


class SaveState(Checkpoint):
    """Saves the whole training state atomically after every epoch; a killed run resumes from the last one."""

    def __init__(self, path: Path):
        self.path = path

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        partial = self.path.with_suffix(".partial")
        trainer.save_checkpoint(partial, weights_only=False)  # with the optimiser
        if trainer.is_global_zero:
            with partial.open("rb") as file:
                os.fsync(file.fileno())  # else a power failure may leave the new name with incomplete content
            os.replace(partial, self.path)
