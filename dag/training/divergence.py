"""Divergence check: gradient clipping, and the end of a run whose loss or gradient is not finite."""

from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from dag.errors import UserError
from dag.training.distributed import all_gather, all_reduce_sum, rank_and_world_size

CHECK_EVERY = 50
"""Steps between two checks on CUDA, where reading a value waits for the device."""


class DivergenceCheck(L.Callback):
    """Ends a run at the first loss or gradient norm that is not finite, before anything of that epoch is written.

    Args:
        max_grad_norm: gradients are clipped to this total norm; 0: no clipping.
        state: folder of the run, named in the error.

    Raises:
        UserError: (during training) a loss or gradient is not finite; the persons of the batch are named.
    """

    def __init__(self, max_grad_norm: float, state: Path):
        self.max_grad_norm = max_grad_norm
        self.state = state
        self.person_ids: list[Tensor] = []
        self.losses: list[Tensor] = []
        self.unchecked: list[tuple[int, int, list[Tensor], Tensor]] = []

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.person_ids.append(batch["person_id"])

    def on_before_backward(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor) -> None:
        self.losses.append(loss.detach())

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer) -> None:
        weights = [weight for weight in pl_module.parameters() if weight.grad is not None]
        norm = get_total_norm([weight.grad for weight in weights if weight.grad is not None])
        if self.max_grad_norm:
            clip_grads_with_norm_(weights, self.max_grad_norm, norm)
        loss_and_norm = torch.stack([all_reduce_sum(torch.stack(self.losses).sum()), norm])
        self.unchecked.append((trainer.current_epoch, trainer.global_step, self.person_ids, loss_and_norm))
        self.person_ids, self.losses = [], []
        if norm.device.type == "cpu" or len(self.unchecked) == CHECK_EVERY:
            self._check(pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._check(pl_module)

    def _check(self, module: L.LightningModule) -> None:
        steps, self.unchecked = self.unchecked, []
        if not steps:
            return
        values = torch.stack([step[3] for step in steps]).cpu().tolist()
        for (epoch, step, person_ids, _), (loss, norm) in zip(steps, values):
            if not (abs(loss) < torch.inf and norm < torch.inf):
                self._stop(epoch, step, person_ids, loss, norm, module.learning_rate)  # type: ignore[arg-type]

    def _stop(
        self, epoch: int, step: int, person_ids: list[Tensor], loss: float, norm: float, learning_rate: float
    ) -> None:
        persons = sorted(all_gather([int(person_id) for batch in person_ids for person_id in batch]))
        if rank_and_world_size()[0]:
            raise SystemExit(0)  # process 0 reports the error
        saved = f"; the model of epoch {epoch} is in {self.state / 'last'}" if epoch else ""
        raise UserError(
            "training diverged",
            where=f"epoch {epoch + 1}, step {step + 1}",
            expected="a finite loss and gradient norm",
            got=f"loss {loss:g} and gradient norm {norm:g} in a batch of persons {', '.join(map(str, persons))}",
            do=f"lower train.learning_rate ({learning_rate:g}), or set train.max_grad_norm{saved}",
        )
