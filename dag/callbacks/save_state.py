"""What every training does at the end of an epoch: keep a state to go on from."""

import os
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Checkpoint


class SaveState(Checkpoint):
    """Keep the whole state after every epoch, so that a killed run goes on from there."""

    def __init__(self, path: Path):
        self.path = path

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        partial = self.path.with_suffix(".partial")
        trainer.save_checkpoint(partial, weights_only=False)  # the optimiser too
        if trainer.is_global_zero:
            with partial.open("rb") as file:
                os.fsync(file.fileno())  # else a machine that loses power may keep the name without the bytes
            os.replace(partial, self.path)
