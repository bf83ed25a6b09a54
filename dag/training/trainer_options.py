"""Options of Lightning's Trainer for devices, nodes and processes: a single process, DDP, torchrun, Slurm."""

import os
from datetime import timedelta
from typing import Any

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy

from dag.errors import UserError


def process_options(
    accelerator: str, devices: int | str, nodes: int, strategy: str, timeout: timedelta
) -> dict[str, Any]:
    """Options of the Trainer for `engine.devices`, `engine.nodes` and `engine.strategy`.

    Lightning starts the processes of a single node itself, or joins those that torchrun or srun has started.

    Args:
        accelerator: "cpu" or "cuda".
        devices: per node; "auto": all CUDA devices, or one process on a CPU.
        nodes: machines.
        strategy: "auto" or "ddp" (DDP even for one process).
        timeout: how long a process waits for the others.

    Raises:
        UserError: more devices than available, or not the number of processes that torchrun or srun has started.
    """
    cuda = accelerator == "cuda"
    available = torch.cuda.device_count() if cuda else os.cpu_count() or 1
    per_node = (available if cuda else 1) if devices == "auto" else int(devices)
    if per_node > available:
        expected = f"at most {available} {'CUDA devices' if cuda else 'CPU cores, one per process'}"
        raise UserError("more devices than available", where="engine.devices", expected=expected, got=per_node)
    world_size, srun = per_node * nodes, SLURMEnvironment.detect() and not TorchElasticEnvironment.detect()
    _check_started(per_node, nodes, srun)
    ddp = world_size > 1 or strategy == "ddp"
    return {
        "accelerator": "gpu" if cuda else "cpu",
        "devices": per_node,
        "num_nodes": nodes,
        "strategy": DDPStrategy(timeout=timeout) if ddp else "auto",
        "sync_batchnorm": ddp and cuda,
        # A requeued job is a rerun: it resumes from the last completed epoch, not from within one.
        "plugins": [SLURMEnvironment(auto_requeue=False)] if srun else None,
    }


def _check_started(per_node: int, nodes: int, srun: bool) -> None:
    """Raise a `UserError` unless torchrun or srun, if used, has started `per_node` processes on each of `nodes`."""
    world_size = per_node * nodes
    started = int(os.environ.get("SLURM_NTASKS" if srun else "WORLD_SIZE", world_size))
    if started != world_size:
        expected = f"{started}, the number of started processes"
        where = "engine.devices x engine.nodes"
        raise UserError("wrong number of processes", where=where, expected=expected, got=world_size)
    tasks = os.environ.get("SLURM_NTASKS_PER_NODE")
    if srun and world_size > 1 and tasks != str(per_node):
        do = f"start it with srun --nodes={nodes} --ntasks-per-node={per_node}"
        raise UserError(
            "wrong number of processes per node", where="engine.devices", expected=tasks, got=per_node, do=do
        )
