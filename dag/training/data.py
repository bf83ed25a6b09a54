"""Training batches, drawn by (seed, epoch, person)."""

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader

from dag.cache.batches import PersonCrops, collate
from dag.errors import UserError


class PoseData(L.LightningDataModule):
    """Cached crops in an order that (seed, epoch) alone decides.

    The trainer must reload the loader every epoch (`reload_dataloaders_every_n_epochs=1`): a resumed run then draws
    what the uninterrupted one would have drawn. The people behind the last whole batch wait for another epoch.

    Args:
        batch_size: people a batch, those of all processes together. Process r of n takes every n-th, from person r on.
        workers: processes that load, of each training process.

    Raises:
        UserError: fewer people than a batch needs.
    """

    def __init__(self, crops: PersonCrops, batch_size: int, seed: int, workers: int):
        super().__init__()
        if batch_size > len(crops):
            expected = f"at most {len(crops)}, the people to train on"
            raise UserError("batch larger than the data", where="train.batch_size", expected=expected, got=batch_size)
        self.crops = crops
        self.batch_size = batch_size
        self.seed = seed
        self.workers = workers

    def batches(self, epoch: int, rank: int = 0, processes: int = 1) -> list[list[int]]:
        """Numbers of the people in each batch of an epoch, as one process sees them."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.crops)).tolist()
        starts = range(0, len(order) - self.batch_size + 1, self.batch_size)
        return [order[start : start + self.batch_size][rank::processes] for start in starts]

    def train_dataloader(self) -> DataLoader:
        epoch, rank, processes = 0, 0, 1
        if self.trainer:
            epoch, rank, processes = self.trainer.current_epoch, self.trainer.global_rank, self.trainer.world_size
        self.crops.set_epoch(epoch)
        return DataLoader(
            self.crops,  # type: ignore[arg-type]
            batch_sampler=self.batches(epoch, rank, processes),
            num_workers=self.workers,
            collate_fn=collate,
            pin_memory=torch.cuda.is_available(),
        )
