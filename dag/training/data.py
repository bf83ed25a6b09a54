"""Data module: batches of cached crops in an order that (seed, epoch) determines."""

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader

from dag.cache.batches import PersonCrops, collate
from dag.errors import UserError


class PoseData(L.LightningDataModule):
    """Training batches of cached person crops; the order depends on (seed, epoch) only.

    The trainer must reload the loader every epoch (`reload_dataloaders_every_n_epochs=1`), so that a resumed run draws
    the same batches as an uninterrupted one. The persons of the last incomplete batch are left out of the epoch.

    Args:
        batch_size: persons per batch, over all processes. Process r of n takes every n-th person, starting at r.
        workers: loader processes of each training process.

    Raises:
        UserError: fewer persons than a batch has.
    """

    def __init__(self, crops: PersonCrops, batch_size: int, seed: int, workers: int):
        super().__init__()
        if batch_size > len(crops):
            expected = f"at most {len(crops)}, the number of training persons"
            raise UserError("batch larger than the data", where="train.batch_size", expected=expected, got=batch_size)
        self.crops = crops
        self.batch_size = batch_size
        self.seed = seed
        self.workers = workers

    def batches(self, epoch: int, rank: int = 0, world_size: int = 1) -> list[list[int]]:
        """Indices of the persons of each batch of an epoch, as process `rank` sees them."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.crops)).tolist()
        starts = range(0, len(order) - self.batch_size + 1, self.batch_size)
        return [order[start : start + self.batch_size][rank::world_size] for start in starts]

    def train_dataloader(self) -> DataLoader:
        epoch, rank, world_size = 0, 0, 1
        if self.trainer:
            epoch, rank, world_size = self.trainer.current_epoch, self.trainer.global_rank, self.trainer.world_size
        self.crops.set_epoch(epoch)
        return DataLoader(
            self.crops,  # type: ignore[arg-type]
            batch_sampler=self.batches(epoch, rank, world_size),
            num_workers=self.workers,
            collate_fn=collate,
            pin_memory=torch.cuda.is_available(),
        )
