"""Training batches, drawn by (seed, epoch, person)."""

import lightning as L
import numpy as np
from torch.utils.data import DataLoader

from dag.data.batches import PersonCrops, collate


class PoseData(L.LightningDataModule):
    """Cached crops in an order that (seed, epoch) alone decides.

    The trainer must reload the loader every epoch (`reload_dataloaders_every_n_epochs=1`): a resumed run then draws
    what the uninterrupted one would have drawn.
    """

    def __init__(self, crops: PersonCrops, batch_size: int, seed: int, workers: int):
        super().__init__()
        self.crops = crops
        self.batch_size = batch_size
        self.seed = seed
        self.workers = workers

    def train_dataloader(self) -> DataLoader:
        epoch = self.trainer.current_epoch if self.trainer else 0
        self.crops.set_epoch(epoch)
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.crops))
        return DataLoader(
            self.crops,  # type: ignore[arg-type]
            batch_size=self.batch_size,
            sampler=order.tolist(),
            num_workers=self.workers,
            collate_fn=collate,
            drop_last=len(order) > self.batch_size,
        )
