"""How many processes train, on what, and who started them."""

import os
from datetime import timedelta
from typing import Any

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy

from dag.errors import UserError


def process_options(kind: str, devices: int | str, nodes: int, strategy: str, timeout: timedelta) -> dict[str, Any]:
    """Options of Lightning's Trainer for `engine.devices`, `nodes` and `strategy`.

    Lightning starts the processes of one node itself, or finds those that torchrun or srun has started.

    Args:
        kind: "cpu" or "cuda".
        devices: of each node; "auto": all CUDA devices, one process on a CPU.
        nodes: machines.
        strategy: "auto" or "ddp" (also for one process).
        timeout: how long a process waits for the others.

    Raises:
        UserError: more devices than there are, or another number of processes than torchrun or srun has started.
    """
    present = torch.cuda.device_count() if kind == "cuda" else os.cpu_count() or 1
    wanted = (present if kind == "cuda" else 1) if devices == "auto" else int(devices)
    if wanted > present:
        names = "CUDA devices" if kind == "cuda" else "CPU cores, one a process"
        raise UserError(
            "more devices than present", where="engine.devices", expected=f"at most {present} {names}", got=wanted
        )
    count, srun = wanted * nodes, SLURMEnvironment.detect() and not TorchElasticEnvironment.detect()
    started = int(os.environ.get("SLURM_NTASKS" if srun else "WORLD_SIZE", count))
    if started != count:
        expected = f"{started}, the processes that were started"
        raise UserError("number of processes", where="engine.devices x engine.nodes", expected=expected, got=count)
    if srun and count > 1 and (a_node := os.environ.get("SLURM_NTASKS_PER_NODE")) != str(wanted):
        do = f"start it with srun --nodes={nodes} --ntasks-per-node={wanted}"
        raise UserError("processes of a node", where="engine.devices", expected=a_node, got=wanted, do=do)
    together = count > 1 or strategy == "ddp"
    return {
        "accelerator": "gpu" if kind == "cuda" else "cpu",
        "devices": wanted,
        "num_nodes": nodes,
        "strategy": DDPStrategy(timeout=timeout) if together else "auto",
        "sync_batchnorm": together and kind == "cuda",
        # A requeued job is a rerun: it goes on from the last epoch, not from Lightning's state amid one.
        "plugins": [SLURMEnvironment(auto_requeue=False)] if srun else None,
    }
