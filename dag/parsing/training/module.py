"""Lightning module of a parser, and its predictions on crops."""

from typing import Any

import lightning as L
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from dag.augmentation.batch_transforms import jitter, normalise
from dag.parsing.ce2p import Ce2p
from dag.parsing.training.crops import PartCrops
from dag.parsing.training.loss import parsing_loss
from dag.parsing.training.metrics import confusion_matrix

PHOTOMETRIC = {"brightness": 0.15, "contrast": 0.25, "color": 0.15}
WARMUP_FRACTION = 0.15
"""Fraction of the steps with a rising learning rate, before cosine annealing (Smith & Topin, 2019)."""


class ParserTraining(L.LightningModule):
    """Training of CE2P with AdamW and a one-cycle learning rate schedule.

    Args:
        network: network, trained in place.
        learning_rate: maximum learning rate.
        seed: of the photometric augmentation.
    """

    def __init__(self, network: Ce2p, *, learning_rate: float, seed: int):
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.learning_rate = learning_rate
        self.seed = seed

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        seeds = [(self.seed, self.current_epoch, key) for key in batch["key"].tolist()]
        images = jitter(_images(batch), seeds, **PHOTOMETRIC)
        loss = parsing_loss(self.network(images.contiguous(memory_format=torch.channels_last)), batch["labels"].long())
        self.log("train/loss", loss, on_epoch=True, on_step=False, logger=False, batch_size=len(images))
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), self.learning_rate, weight_decay=1e-4)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, steps, pct_start=WARMUP_FRACTION)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def predict_labels(network: Ce2p, batch: dict[str, Tensor]) -> Int[Tensor, "B H W"]:
    """Predicted labels of a batch of crops, at the resolution of the crops."""
    logits = network(_images(batch)).fused.float()
    size = (batch["labels"].shape[-2], batch["labels"].shape[-1])
    return F.interpolate(logits, size, mode="bilinear", align_corners=True).argmax(1)


def confusion_over_crops(network: Ce2p, crops: PartCrops, labels: int, batch_size: int) -> Int[np.ndarray, "L L"]:
    """`confusion_matrix` of the predictions for all crops, computed on the network's device."""
    device = next(network.parameters()).device
    pixels = np.zeros((labels, labels), dtype=np.int64)
    network.eval()
    with torch.inference_mode():
        for batch in DataLoader(crops, batch_size):  # type: ignore[arg-type]
            batch = {name: value.to(device) for name, value in batch.items()}
            predicted = predict_labels(network, batch).cpu().numpy()
            pixels += confusion_matrix(batch["labels"].long().cpu().numpy(), predicted, labels)
    network.train()
    return pixels


def _images(batch: dict[str, Tensor]) -> Float[Tensor, "B 3 H W"]:
    """Normalised crops of a batch."""
    return normalise(batch["image"].permute(0, 3, 1, 2).float() / 255)
