"""Lightning module of pose training: batch transforms, losses, learning-rate schedule, optimiser."""

import lightning as L
import torch

from dag.augmentation.batch_transforms import jitter, warp, warp_ignore
from dag.augmentation.online_masks import paint_masks
from dag.models.pose import DagPose
from dag.training.distributed import rank_and_world_size, relative_counts
from dag.training.loss import coordinate_loss, multi_person_loss

Batch = dict[str, torch.Tensor]
"""Collated samples of `dag.cache.batches.PersonCrops`."""
Losses = dict[str, torch.Tensor]
"""Unweighted scalar losses by name."""

PHOTOMETRIC_STREAM = 3
"""Fourth number of the photometric seeds. Geometry and masks draw from seeds with the same first three numbers."""


class PoseTraining(L.LightningModule):
    """Trains a pose model with the loss `multi_person * l_m + target * l_t + graph * l_p` and Adam.

    The learning rate is a function of the step (linear warm-up) and the epoch (a factor of 0.1 at every milestone), so
    that a resumed run has no schedule to restore. Adam has no weight decay, as in HRNet's protocol.

    Args:
        model: the network; its weights change in place.
        input_wh: network input in pixels.
        multi_person, target, graph: weights of l_m, l_t and l_p.
        brightness, contrast, color: ranges of the photometric augmentation.
        learning_rate: after the warm-up, before the first milestone.
        warmup_steps: optimiser steps over which the learning rate rises linearly.
        milestones: epochs at which the learning rate falls.
        seed: of the photometric augmentation and the centre jitter.
    """

    def __init__(
        self,
        model: DagPose,
        *,
        input_wh: tuple[int, int],
        multi_person: float,
        target: float,
        graph: float,
        brightness: float,
        contrast: float,
        color: float,
        learning_rate: float,
        warmup_steps: int,
        milestones: list[int],
        seed: int,
    ):
        super().__init__()
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.input_wh = input_wh
        self.weights = {"multi_person": multi_person, "target": target, "graph": graph}
        self.photometric = {"brightness": brightness, "contrast": contrast, "color": color}
        self.learning_rate = learning_rate
        self.warmup_steps = warmup_steps
        self.milestones = milestones
        self.seed = seed

    def scheduled_learning_rate(self, epoch: int, step: int) -> float:
        """Learning rate of an optimiser step; steps are counted from 0 over all epochs."""
        decayed = self.learning_rate * 0.1 ** sum(epoch >= milestone for milestone in self.milestones)
        return decayed * min(1.0, (step + 1) / (self.warmup_steps + 1))

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        learning_rate = self.scheduled_learning_rate(self.current_epoch, self.global_step)
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            group["lr"] = learning_rate
        distributed = rank_and_world_size()[1] > 1
        self.log("lr", learning_rate, on_epoch=True, on_step=False, logger=False, batch_size=1, sync_dist=distributed)

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        rank, world_size = rank_and_world_size()
        losses = self.losses(batch, self._center_offsets(batch_index, rank, world_size))
        if world_size > 1:
            losses = self._weight_by_process(losses, batch)
        loss = torch.stack([self.weights[name] * value for name, value in losses.items()]).sum()
        logged = {f"train/{name}": value for name, value in {"loss": loss, **losses}.items()}
        size = self._global_batch_size()
        self.log_dict(logged, on_epoch=True, on_step=False, logger=False, batch_size=size, sync_dist=world_size > 1)
        return loss

    def _global_batch_size(self) -> int:
        """Persons per batch, over all processes."""
        return self.trainer.datamodule.batch_size  # type: ignore[attr-defined]

    def _center_offsets(self, batch_index: int, rank: int, world_size: int) -> torch.Tensor | None:
        """Centre jitter of this process's persons, drawn for the whole batch from (seed, batch number)."""
        accumulate = self.trainer.accumulate_grad_batches
        number = self.global_step * accumulate + batch_index % accumulate
        generator = torch.Generator().manual_seed((self.seed << 32) + number)
        offsets = self.model.draw_center_offsets(self._global_batch_size(), generator)
        return None if offsets is None else offsets[rank::world_size]

    def _weight_by_process(self, losses: Losses, batch: Batch) -> Losses:
        """Losses whose mean over the processes equals the loss of the whole batch in one process.

        l_p is a mean over labelled joints, the others are means over persons.
        """
        labelled = (batch["visibility"][:, 0] > 0).sum()
        persons = torch.full_like(labelled, len(batch["visibility"]))
        by_person, by_joint = relative_counts(torch.stack([persons, labelled]).float())
        return {name: value * (by_joint if name == "graph" else by_person) for name, value in losses.items()}

    def losses(self, batch: Batch, center_offsets: torch.Tensor | None) -> Losses:
        """Unweighted losses of a batch: "target", and "multi_person" and "graph" if the model has these outputs."""
        output = self.model(self._inputs(batch), center_offsets)
        input_hw = (self.input_wh[1], self.input_wh[0])
        xy, labelled = batch["keypoints_input_xy"], batch["visibility"] > 0
        stride = float(self.model.backbone.stride)  # type: ignore[arg-type]
        losses = {"target": self.model.head.loss(output.target, xy[:, 0], labelled[:, 0], input_hw)}
        if output.multi_person_heatmaps is not None:
            size = (output.multi_person_heatmaps.shape[-2], output.multi_person_heatmaps.shape[-1])
            targets = self.model.multi_person_head.targets(xy, labelled, size, input_hw)
            ignore = warp_ignore(batch["ignore"], batch["input_from_canvas"], size, stride).bool()
            losses["multi_person"] = multi_person_loss(output.multi_person_heatmaps, targets, ignore)
        if output.refined_xy is not None:
            losses["graph"] = coordinate_loss(output.refined_xy / stride, xy[:, 0] / stride, labelled[:, 0])
        return losses

    def _inputs(self, batch: Batch) -> torch.Tensor:
        """Warped, masked, jittered and normalised crops `[B, 3, H, W]`."""
        images = warp(batch["image"], batch["input_from_canvas"], (self.input_wh[1], self.input_wh[0]))
        if "masks" in batch:
            images = paint_masks(images, batch["masks"])
        seeds = [
            (self.seed, self.current_epoch, person_id, PHOTOMETRIC_STREAM) for person_id in batch["person_id"].tolist()
        ]
        return jitter(images, seeds, **self.photometric).contiguous(memory_format=torch.channels_last)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), self.learning_rate, fused=self.device.type == "cuda" or None)
