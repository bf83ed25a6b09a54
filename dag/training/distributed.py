"""Communication between the processes that train one model. Without other processes they do nothing.

Process r of n takes every n-th person of each batch, starting at person r, so that together the processes see the
batches of a single process. Gradients equal those of one process up to rounding: `relative_counts` weights the mean
loss of each process, and DDP averages the gradients. Batch normalisation depends on the device. On CUDA it uses the
statistics of the whole batch (torch's SyncBatchNorm), because the number of devices must not shape a result. On a CPU,
where torch has no synchronised version, each process normalises its own part, and the running statistics are those of
process 0.
"""

from collections.abc import Iterable
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch import distributed as dist

T = TypeVar("T")


def rank_and_world_size() -> tuple[int, int]:
    """The rank of this process and the number of processes; (0, 1) without a process group."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else (0, 1)


def relative_counts(counts: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Counts of this process divided by their mean over all processes; 1 where all counts are 0.

    The mean over the elements of all processes equals the mean over processes of `relative_counts` times the process's
    own mean. Needs a process group.

    Args:
        counts: numbers of elements that this process takes its means over.
    """
    total = counts.clone()
    dist.all_reduce(total)
    return torch.where(total > 0, counts * rank_and_world_size()[1] / total.clamp(min=1), 1.0)


def all_reduce_sum(value: Tensor) -> Tensor:
    """The sum of a tensor over the processes, without gradient."""
    value = value.detach().clone()
    if rank_and_world_size()[1] > 1:
        dist.all_reduce(value)
    return value


def all_gather(items: list[T]) -> list[T]:
    """The items of all processes, in the order of the ranks."""
    world_size = rank_and_world_size()[1]
    if world_size == 1:
        return items
    parts: list[Any] = [None] * world_size
    dist.all_gather_object(parts, items)
    return [item for part in parts for item in part]


def broadcast(value: T) -> T:
    """The value of process 0."""
    if rank_and_world_size()[1] == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values)
    return values[0]


def broadcast_buffers(modules: Iterable[nn.Module]) -> None:
    """Set the buffers (running statistics) of all processes to those of process 0."""
    if rank_and_world_size()[1] > 1:
        for module in modules:
            for buffer in module.buffers():
                dist.broadcast(buffer, 0)
