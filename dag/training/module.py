"""The training step: warp, targets, losses."""

import lightning as L
import torch

from dag.augmentation.batch_transforms import jitter, warp, warp_ignore
from dag.augmentation.online_masks import paint_masks
from dag.models.pose import DagPose
from dag.training.distributed import fraction_of_all, processes
from dag.training.loss import coordinate_loss, multi_person_loss


class PoseTraining(L.LightningModule):
    """A pose model with its losses `multi_person * l_m + target * l_t + graph * l_p` and optimiser.

    The learning rate depends on the step (it rises from 0 over `warmup_steps` steps) and the epoch (a tenth after every
    milestone) alone, so a resumed run has no schedule to restore. Adam without weight decay, as HRNet's protocol.
    Of several processes each sees its part of every batch (dag.training.distributed).
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
        colour: float,
        learning_rate: float,
        warmup_steps: int,
        milestones: list[int],
        seed: int,
    ):
        super().__init__()
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.input_wh = input_wh
        self.weights = {"multi_person": multi_person, "target": target, "graph": graph}
        self.photometric = {"brightness": brightness, "contrast": contrast, "colour": colour}
        self.learning_rate = learning_rate
        self.warmup_steps = warmup_steps
        self.milestones = milestones
        self.seed = seed

    def rate(self, epoch: int, step: int) -> float:
        """Learning rate of a step, counted from 0 over all epochs."""
        fallen = self.learning_rate * 0.1 ** sum(epoch >= milestone for milestone in self.milestones)
        return fallen * min(1.0, (step + 1) / (self.warmup_steps + 1))

    def on_train_batch_start(self, batch: dict[str, torch.Tensor], batch_index: int) -> None:
        rate = self.rate(self.current_epoch, self.global_step)
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            group["lr"] = rate
        several = processes()[1] > 1
        self.log("lr", rate, on_epoch=True, on_step=False, logger=False, batch_size=1, sync_dist=several)

    def training_step(self, batch: dict[str, torch.Tensor], batch_index: int) -> torch.Tensor:
        rank, count = processes()
        losses = self.losses(batch, self._center_offsets(batch_index, rank, count))
        if count > 1:
            losses = self._loss_fractions(losses, batch)
        loss = torch.stack([self.weights[name] * value for name, value in losses.items()]).sum()
        named = {f"train/{name}": value for name, value in {"loss": loss, **losses}.items()}
        people = self._people()
        self.log_dict(named, on_epoch=True, on_step=False, logger=False, batch_size=people, sync_dist=count > 1)
        return loss

    def _people(self) -> int:
        """In the batch, of all processes together."""
        return self.trainer.datamodule.batch_size  # type: ignore[attr-defined]

    def _center_offsets(self, batch_index: int, rank: int, count: int) -> torch.Tensor | None:
        """Drawn for the batch of all processes; this process's part."""
        every = self.trainer.accumulate_grad_batches
        number = self.global_step * every + batch_index % every
        generator = torch.Generator().manual_seed((self.seed << 32) + number)
        offsets = self.model.draw_center_offsets(self._people(), generator)
        return None if offsets is None else offsets[rank::count]

    def _loss_fractions(
        self, losses: dict[str, torch.Tensor], batch: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Losses whose mean over the processes is what one process would have found.

        l_p is a mean over labelled joints, the others are means over people.
        """
        labelled = (batch["visibility"][:, 0] > 0).sum()
        people = torch.full_like(labelled, len(batch["visibility"]))
        of_people, of_joints = fraction_of_all(torch.stack([people, labelled]).float())
        return {name: value * (of_joints if name == "graph" else of_people) for name, value in losses.items()}

    def losses(self, batch: dict[str, torch.Tensor], center_offsets: torch.Tensor | None) -> dict[str, torch.Tensor]:
        """The unweighted losses of a batch, those that the model has outputs for."""
        output = self.model(self._inputs(batch), center_offsets)
        input_hw = (self.input_wh[1], self.input_wh[0])
        xy, labelled = batch["keypoints_input_xy"], batch["visibility"] > 0
        stride = float(self.model.backbone.stride)  # type: ignore[arg-type]
        losses = {"target": self.model.head.loss(output.target, xy[:, 0], labelled[:, 0], input_hw)}
        if output.multi_person_heatmaps is not None:
            size = (output.multi_person_heatmaps.shape[-2], output.multi_person_heatmaps.shape[-1])
            everyone = self.model.multi_person_head.targets(xy, labelled, size, input_hw)
            ignore = warp_ignore(batch["ignore"], batch["input_from_canvas"], size, stride).bool()
            losses["multi_person"] = multi_person_loss(output.multi_person_heatmaps, everyone, ignore)
        if output.refined_xy is not None:
            losses["graph"] = coordinate_loss(output.refined_xy / stride, xy[:, 0] / stride, labelled[:, 0])
        return losses

    def _inputs(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Warped, masked, jittered, normalised crops `[B, 3, H, W]`."""
        images = warp(batch["image"], batch["input_from_canvas"], (self.input_wh[1], self.input_wh[0]))
        if "masks" in batch:
            images = paint_masks(images, batch["masks"])
        # The last number keeps these draws apart from those of geometry and masks, which have the first three too.
        seeds = [(self.seed, self.current_epoch, person, 3) for person in batch["person_id"].tolist()]
        return jitter(images, seeds, **self.photometric).contiguous(memory_format=torch.channels_last)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), self.learning_rate, fused=self.device.type == "cuda" or None)
