"""Several processes that train one model: what they tell each other. Alone, each function does nothing.

The processes see the batches that one process would see: process r of n takes every n-th person of each batch, from
person r on. Gradients are those of one process up to rounding: `fraction_of_all` weighs each process's mean by how much
it stands for, and DDP averages. What batch normalisation sees of a batch differs by the device. On CUDA it is the whole
batch (torch's SyncBatchNorm), as the number of devices must not shape a result. On a CPU, where torch has none, each
process sees its own part, and the running statistics are the first process's.
"""

from collections.abc import Iterable
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch import distributed as dist

T = TypeVar("T")


def processes() -> tuple[int, int]:
    """This process's number and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else (0, 1)


def fraction_of_all(own: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Own counts over the mean count of all processes; 1 where nobody has any.

    Args:
        own: what this process's means are taken over. A mean over all is then the mean over the processes of share
            times own mean.
    """
    total = own.clone()
    dist.all_reduce(total)
    return torch.where(total > 0, own * processes()[1] / total.clamp(min=1), 1.0)


def sum_of_all(value: Tensor) -> Tensor:
    """The sum over the processes, without gradient; the value itself where there is one process."""
    value = value.detach().clone()
    if processes()[1] > 1:
        dist.all_reduce(value)
    return value


def gathered(items: list[T]) -> list[T]:
    """The items of all processes, in the order of the processes."""
    if processes()[1] == 1:
        return items
    parts: list[Any] = [None] * processes()[1]
    dist.all_gather_object(parts, items)
    return [item for part in parts for item in part]


def from_first(value: T) -> T:
    """The value that the first process has."""
    if processes()[1] == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values)
    return values[0]


def same_buffers(modules: Iterable[nn.Module]) -> None:
    """Running statistics of the first process to all of them."""
    if processes()[1] > 1:
        for module in modules:
            for buffer in module.buffers():
                dist.broadcast(buffer, 0)
