"""Memory and processes per epoch of short trainings, with and without loader processes.

    python benchmarks/training_memory.py CACHE [--epochs 10] [--persons 320]

CACHE is a crop cache (`data/cache` after `dvc repro cache`). The narrow network on the CPU, batches of 16, masks drawn
online, a model and a resume state written every epoch. Sampled in the middle of every epoch, when the loaders are
alive: the resident set of the training process; its own memory, which is the resident set without shared memory and
file pages (the cache is memory-mapped, and its pages stay resident until the system needs the memory); the same summed
over the loaders. Goal: at most 5 % more own memory in the last epoch than in the second, and as many processes.
"""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import torch
import typer
from torch.utils.data import Subset

from dag.cache.batches import PersonCrops
from dag.models.pose import build_model
from dag.training.data import PoseData
from dag.training.module import PoseTraining
from dag.training.train import train_pose

GOAL = 0.05
AUGMENT = {"flip": 0.5, "rotation": 45.0, "rotation_p": 0.6, "scale": 0.35, "half_body": 0.3, "mask_joints": 0.5}
Sample = tuple[float, float, float, int]
"""Resident megabytes, own megabytes, own megabytes with the child processes, number of child processes."""


class SampledTraining(PoseTraining):
    """Samples memory in the middle of every epoch."""

    def start_sampling(self) -> None:
        self.samples: list[Sample] = []

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == self.trainer.num_training_batches // 2:
            process = psutil.Process()
            children = process.children(recursive=True)
            own = own_megabytes(process)
            total = own + sum(own_megabytes(child) for child in children)
            self.samples.append((process.memory_info().rss / 2**20, own, total, len(children)))


def own_megabytes(process: psutil.Process) -> float:
    """Resident memory without shared memory and file pages."""
    memory = process.memory_info()
    return (memory.rss - memory.shared) / 2**20


class FirstPersons(Subset):
    """The first persons of a cache, with the interface of `PersonCrops`."""

    dataset: PersonCrops

    @property
    def shards(self) -> Any:
        return self.dataset.shards

    def set_epoch(self, epoch: int) -> None:
        self.dataset.set_epoch(epoch)


def training(cache: Path, workers: int, epochs: int, persons: int, state: Path) -> list[Sample]:
    """Memory samples of every epoch."""
    torch.manual_seed(0)
    crops = PersonCrops(cache, occluded=0.5, seed=1, **AUGMENT)
    input_wh = crops.shards.input_wh
    module = SampledTraining(
        build_model("hrnet_tiny", adam=True, graph=True, width=64, blocks=2, input_wh=input_wh), input_wh=input_wh,
        multi_person=1.0, target=1.0, graph=0.1, brightness=0.1, contrast=0.2, color=0.1, learning_rate=0.001,
        warmup_steps=50, milestones=[], seed=1,
    )  # fmt: skip
    module.start_sampling()
    first = FirstPersons(crops, range(min(persons, len(crops))))
    data = PoseData(first, 16, seed=1, workers=workers)  # type: ignore[arg-type]
    train_pose(
        module, data, epochs=epochs, validate_every=1, validate=lambda model: {"AP": 0.0}, state=state, device="cpu",
        ema=0.99, max_grad_norm=1.0, accumulate=2,
    )  # fmt: skip
    return module.samples


def main(cache: Path, epochs: int = 10, persons: int = 320) -> None:
    print("| epoch | resident | own | resident, 2 loaders | own | with the loaders |\n|---|---|---|---|---|---|")
    runs = []
    for workers in (0, 2):
        with TemporaryDirectory() as folder, ProcessPoolExecutor(1, get_context("fork")) as process:
            runs.append(process.submit(training, cache, workers, epochs, persons, Path(folder)).result())
    for epoch, (without, with_loaders) in enumerate(zip(*runs), 1):
        values = (*without[:2], *with_loaders[:3])
        print("|", " | ".join([str(epoch), *(f"{value:.0f}" for value in values)]), "|")
    for name, samples, column in (
        ("no loaders", runs[0], 1),
        ("2 loaders", runs[1], 1),
        ("with the loaders", runs[1], 2),
    ):
        growth = samples[-1][column] / samples[1][column] - 1
        print(f"{name}: {100 * growth:+.1f} % from epoch 2 to {epochs}, goal at most {100 * GOAL:.0f} %")
    counts = [sorted({sample[3] for sample in samples}) for samples in runs]
    print(f"child processes: {counts[0]} without loaders, {counts[1]} with 2")


if __name__ == "__main__":
    typer.run(main)
