"""Training of a parser, from scratch or resumed from its last completed epoch."""

import warnings
from pathlib import Path

import lightning as L
import numpy as np
from dvclive.lightning import DVCLiveLogger
from lightning.pytorch.callbacks import TQDMProgressBar
from torch.utils.data import DataLoader

from dag.callbacks.curves import Curves
from dag.callbacks.save_state import SaveState
from dag.parsing.training.crops import PartCrops
from dag.parsing.training.metrics import parsing_metrics
from dag.parsing.training.module import ParserTraining, confusion_over_crops


class PartDataModule(L.LightningDataModule):
    """Shuffled training crops; the order depends only on seed and epoch."""

    def __init__(self, crops: PartCrops, batch_size: int, seed: int, workers: int):
        super().__init__()
        self.crops, self.batch_size, self.seed, self.workers = crops, batch_size, seed, workers

    def train_dataloader(self) -> DataLoader:
        epoch = self.trainer.current_epoch if self.trainer else 0
        self.crops.epoch = epoch
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.crops)).tolist()
        drop_last = len(order) > self.batch_size
        return DataLoader(self.crops, self.batch_size, sampler=order, num_workers=self.workers, drop_last=drop_last)  # type: ignore[arg-type]


class Validation(L.Callback):
    """Computes mIoU and person IoU of the validation crops after every epoch."""

    def __init__(self, crops: PartCrops, labels: tuple[str, ...], batch_size: int):
        self.crops, self.labels, self.batch_size = crops, labels, batch_size
        self.latest: dict[str, float] = {}

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        pixels = confusion_over_crops(pl_module.network, self.crops, len(self.labels), self.batch_size)  # type: ignore[arg-type]
        metrics = parsing_metrics(pixels, self.labels)
        self.latest = {name: metrics[name] for name in ("mIoU", "person_IoU")}


def train_parser(
    module: ParserTraining,
    crops: PartCrops,
    val_crops: PartCrops,
    labels: tuple[str, ...],
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    workers: int,
    state: Path,
    device: str,
) -> None:
    """Train a network in place, writing the curves to `state / "live"` and a checkpoint to `state / "last.ckpt"`.

    Args:
        module: network and optimiser.
        crops, val_crops: training and validation crops.
        labels: names of the labels.
        epochs, batch_size: length of the training and crops per step.
        seed: of the order of the crops.
        workers: number of processes that load crops; 0 if the network runs on the CPU.
        state: folder of this run (`dag.callbacks.resume_state.state_folder`); training resumes from its checkpoint.
        device: "auto", "cpu" or "cuda".
    """
    last = state / "last.ckpt"
    validation = Validation(val_crops, labels, batch_size)
    trainer = L.Trainer(
        accelerator="gpu" if device == "cuda" else device,
        devices=1,
        max_epochs=epochs,
        logger=DVCLiveLogger(dir=str(state / "live"), dvcyaml=None, save_dvc_exp=False),
        callbacks=[validation, Curves(validation), SaveState(last), TQDMProgressBar()],
        log_every_n_steps=1,
        reload_dataloaders_every_n_epochs=1,
        default_root_dir=state,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        deterministic="warn",
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        data = PartDataModule(crops, batch_size, seed, workers)
        trainer.fit(module, data, ckpt_path=str(last) if last.exists() else None, weights_only=True)
