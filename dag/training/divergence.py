"""Gradients: clipped where wanted, and the end of a run whose loss or gradient is not a number."""

from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from dag.errors import UserError
from dag.training.distributed import gathered, processes, sum_of_all

PATIENCE = 50
"""Steps between two looks at the metrics on CUDA: looking waits for the device."""


class DivergenceCheck(L.Callback):
    """Ends a run at the first loss or gradient that is not finite, before a state of that epoch is written.

    Args:
        max_grad_norm: largest norm of all gradients together; 0: as they are.
        state: folder of the run, named in the error.

    Raises:
        UserError: (while training) a loss or a gradient is not finite; its people are named.
    """

    def __init__(self, max_grad_norm: float, state: Path):
        self.max_grad_norm = max_grad_norm
        self.state = state
        self.people: list[Tensor] = []
        self.losses: list[Tensor] = []
        self.seen: list[tuple[int, int, list[Tensor], Tensor]] = []

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.people.append(batch["person_id"])

    def on_before_backward(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor) -> None:
        self.losses.append(loss.detach())

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer) -> None:
        weights = [weight for weight in pl_module.parameters() if weight.grad is not None]
        norm = get_total_norm([weight.grad for weight in weights if weight.grad is not None])
        if self.max_grad_norm:
            clip_grads_with_norm_(weights, self.max_grad_norm, norm)
        metrics = torch.stack([sum_of_all(torch.stack(self.losses).sum()), norm])
        self.seen.append((trainer.current_epoch, trainer.global_step, self.people, metrics))
        self.people, self.losses = [], []
        if norm.device.type == "cpu" or len(self.seen) == PATIENCE:
            self._look(pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._look(pl_module)

    def _look(self, module: L.LightningModule) -> None:
        seen, self.seen = self.seen, []
        if not seen:
            return
        metrics = torch.stack([entry[3] for entry in seen]).cpu()
        for (epoch, step, people, _), (loss, norm) in zip(seen, metrics.tolist()):
            if not (abs(loss) < torch.inf and norm < torch.inf):
                self._stop(epoch, step, people, loss, norm, getattr(module, "learning_rate", None))

    def _stop(self, epoch: int, step: int, people: list[Tensor], loss: float, norm: float, rate: float | None) -> None:
        names = sorted(gathered([int(person) for batch in people for person in batch]))
        if processes()[0]:
            raise SystemExit(0)  # the first process says it
        kept = f"; the model of epoch {epoch} is kept in {self.state / 'last'}" if epoch else ""
        raise UserError(
            "training diverged",
            where=f"epoch {epoch + 1}, step {step + 1}",
            expected="a finite loss and gradient",
            got=f"loss {loss:g} and gradient {norm:g} with the people {', '.join(map(str, names))}",
            do=f"lower train.learning_rate ({rate:g}), or set train.max_grad_norm{kept}",
        )
