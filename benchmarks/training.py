"""Throughput of training steps and data wait: a plain network in fp32, bf16 and compiled, and DAG.

    python benchmarks/training.py CACHE [--rounds 3] [--steps 20] [--batch-size 64]

CACHE is a crop cache (`data/cache` after `dvc repro cache`; one of 192 x 256 for HRNet's size). On CUDA: HRNet-W32; on
a CPU, where that takes seconds per crop: the narrow network and batches of 8. A step is warp, jitter, targets, forward,
backward and Adam, with deterministic algorithms where available. The variants take turns in one process, on batches
that are already on the device, after warm-up (and compilation). Images per second are medians over the rounds; ratios
are to the first variant in the same round. The data wait is the fraction of an epoch of `train_pose` in which the loop
waits for a batch (its `speed.tsv`), with 2 loader processes on CUDA and none on a CPU, as in training.
"""

import os
import platform
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
import typer
from training_memory import FirstPersons

from dag.cache.batches import PersonCrops
from dag.models.pose import build_model
from dag.training.data import PoseData
from dag.training.module import PoseTraining
from dag.training.train import train_pose

CUDA = torch.cuda.is_available()
AUGMENT = {"flip": 0.5, "rotation": 45.0, "rotation_p": 0.6, "scale": 0.35, "half_body": 0.3}
VARIANTS = {
    "plain, fp32, eager": {"channels_last": False, "bf16": False, "compile": False, "dag": False},
    "plain, bf16, channels_last": {"channels_last": True, "bf16": True, "compile": False, "dag": False},
    "plain, bf16, channels_last, compiled": {"channels_last": True, "bf16": True, "compile": True, "dag": False},
    "DAG, bf16, channels_last": {"channels_last": True, "bf16": True, "compile": False, "dag": True},
    "DAG, bf16, channels_last, compiled": {"channels_last": True, "bf16": True, "compile": True, "dag": True},
}
"""The compiled variants are left out on a CPU, where torch.compile needs a C++ compiler."""


def make_module(input_wh: tuple[int, int], dag: bool) -> PoseTraining:
    """A network in its training module."""
    torch.manual_seed(0)
    graph = {"adam": True, "graph": True, "width": 128, "blocks": 4} if dag else {}
    return PoseTraining(
        build_model("hrnet_w32" if CUDA else "hrnet_tiny", input_wh=input_wh, **graph), input_wh=input_wh,
        multi_person=1.0, target=1.0, graph=0.1, brightness=0.1, contrast=0.2, color=0.1, learning_rate=0.001,
        warmup_steps=0, milestones=[], seed=1,
    )  # fmt: skip


def stepper(
    batches: list[dict],
    input_wh: tuple[int, int],
    device: str,
    *,
    channels_last: bool,
    bf16: bool,
    compile: bool,
    dag: bool,
) -> Callable[[int], None]:
    """A function that runs a number of training steps and waits for the device."""
    module = make_module(input_wh, dag).to(device)
    if not channels_last:
        module.model.to(memory_format=torch.contiguous_format)
    if compile:
        module.model.compile()
    optimizer, source = module.configure_optimizers(), cycle(batches)
    generator = torch.Generator().manual_seed(0)

    def run(steps: int) -> None:
        module.train()
        for batch in islice(source, steps):
            offsets = module.model.draw_center_offsets(len(batch["image"]), generator)
            autocast: AbstractContextManager = torch.autocast(device, torch.bfloat16) if bf16 else nullcontext()
            with autocast:
                losses = module.losses(batch, offsets)
            optimizer.zero_grad()
            torch.stack(list(losses.values())).sum().backward()
            optimizer.step()
        if CUDA:
            torch.cuda.synchronize()

    return run


def data_wait(crops: PersonCrops, batch_size: int, dag: bool) -> float:
    """Data wait in the second epoch of a real training of at most 40 batches per epoch."""
    first = FirstPersons(crops, range(min(len(crops), 40 * batch_size)))
    data = PoseData(first, batch_size, seed=1, workers=2 * CUDA)  # type: ignore[arg-type]
    with TemporaryDirectory() as folder:
        train_pose(
            make_module(crops.shards.input_wh, dag), data, epochs=2, validate_every=2, validate=lambda model: {},
            state=Path(folder), device="cuda" if CUDA else "cpu", precision="bf16",
        )  # fmt: skip
        return float((Path(folder) / "speed.tsv").read_text().split()[-1])


def measure(runs: dict[str, Callable[[int], None]], rounds: int, images: int, steps: int) -> dict[str, list[float]]:
    """Images per second of every variant and round, after warm-up."""
    speeds: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run(3)
    for _ in range(rounds):
        for name, run in runs.items():
            started = time.perf_counter()
            run(steps)
            speeds[name].append(steps * images / (time.perf_counter() - started))
    return speeds


def main(cache: Path, rounds: int = 3, steps: int = 20 if CUDA else 3, batch_size: int = 64 if CUDA else 8) -> None:
    device = "cuda" if CUDA else "cpu"
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    crops = PersonCrops(cache, occluded=0.5, seed=1, **AUGMENT)
    input_wh = crops.shards.input_wh
    loader = PoseData(crops, batch_size, seed=1, workers=0).train_dataloader()
    batches = [{name: value.to(device) for name, value in batch.items()} for batch in islice(loader, 4)]
    variants = {name: options for name, options in VARIANTS.items() if CUDA or not options["compile"]}
    runs = {name: stepper(batches, input_wh, device, **options) for name, options in variants.items()}
    speeds = measure(runs, rounds, batch_size, steps)
    name = torch.cuda.get_device_name() if CUDA else f"{platform.processor() or platform.machine()} CPU"
    network = "HRNet-W32" if CUDA else "narrow network"
    print(f"{network}, {input_wh[0]} x {input_wh[1]}, batches of {batch_size}, on {name},")
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print("| variant | images/s | ratio |\n|---|---|---|")
    first = next(iter(speeds.values()))
    for variant, values in speeds.items():
        ratio = median(value / base for value, base in zip(values, first))
        print(f"| {variant} | {median(values):.1f} | {ratio:.2f} |")
    for dag in (False, True):
        print(f"\ndata wait, {'DAG' if dag else 'plain'}, bf16: {data_wait(crops, batch_size, dag):.1%}", end="")
    print()


if __name__ == "__main__":
    typer.run(main)
