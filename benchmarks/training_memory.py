"""Whether a training grows: memory and processes, epoch by epoch, of short real trainings with and without loaders.

    python benchmarks/training_memory.py CACHE [--epochs 10] [--people 320]

CACHE is a crop cache (`data/cache` behind `dvc repro cache`). The narrow network on the CPU, batches of 16, fresh
masks, a model and a state written every epoch. Looked at amid every epoch, when the loaders are there: the resident set
of the training process; its own memory, which is the resident set without shared memory and the pages of files (the
cache is mapped, what was read of it stays until the system wants the room); the same summed with the loaders. Goal: at
most 5 % more own memory in the last epoch than in the second, and as many processes.
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


class Watched(PoseTraining):
    """Looks at memory in the middle of every epoch."""

    def watch(self) -> None:
        self.seen: list[tuple[float, float, float, int]] = []

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == self.trainer.num_training_batches // 2:
            process = psutil.Process()
            children = process.children(recursive=True)
            own = megabytes(process)
            together = own + sum(megabytes(child) for child in children)
            self.seen.append((process.memory_info().rss / 2**20, own, together, len(children)))


def megabytes(process: psutil.Process) -> float:
    """Resident memory that belongs to this process alone and to no file."""
    memory = process.memory_info()
    return (memory.rss - memory.shared) / 2**20


class Few(Subset):
    """The first people of a cache."""

    dataset: PersonCrops

    @property
    def shards(self) -> Any:
        return self.dataset.shards

    def set_epoch(self, epoch: int) -> None:
        self.dataset.set_epoch(epoch)


def training(cache: Path, workers: int, epochs: int, people: int, state: Path) -> list[tuple[float, float, float, int]]:
    """Resident megabytes, own ones, own ones with the children, and the number of children, of every epoch."""
    torch.manual_seed(0)
    crops = PersonCrops(cache, occluded=0.5, seed=1, **AUGMENT)
    input_wh = crops.shards.input_wh
    module = Watched(
        build_model("hrnet_tiny", adam=True, graph=True, width=64, blocks=2, input_wh=input_wh), input_wh=input_wh,
        multi_person=1.0, target=1.0, graph=0.1, brightness=0.1, contrast=0.2, colour=0.1, learning_rate=0.001,
        warmup_steps=50, milestones=[], seed=1,
    )  # fmt: skip
    module.watch()
    data = PoseData(Few(crops, range(min(people, len(crops)))), 16, seed=1, workers=workers)  # type: ignore[arg-type]
    train_pose(
        module, data, epochs=epochs, validate_every=1, metrics=lambda model: {"AP": 0.0}, state=state, device="cpu",
        ema=0.99, max_grad_norm=1.0, accumulate=2,
    )  # fmt: skip
    return module.seen


def main(cache: Path, epochs: int = 10, people: int = 320) -> None:
    print("| epoch | resident | own | resident, 2 loaders | own | with the loaders |\n|---|---|---|---|---|---|")
    runs = []
    for workers in (0, 2):
        with TemporaryDirectory() as folder, ProcessPoolExecutor(1, get_context("fork")) as process:
            runs.append(process.submit(training, cache, workers, epochs, people, Path(folder)).result())
    for epoch, (alone, loaded) in enumerate(zip(*runs), 1):
        print("|", " | ".join([str(epoch), *(f"{figure:.0f}" for figure in (*alone[:2], *loaded[:3]))]), "|")
    for name, seen, column in (("no loaders", runs[0], 1), ("2 loaders", runs[1], 1), ("with the loaders", runs[1], 2)):
        growth = seen[-1][column] / seen[1][column] - 1
        print(f"{name}: {100 * growth:+.1f} % from epoch 2 to {epochs}, goal at most {100 * GOAL:.0f} %")
    counts = [sorted({entry[3] for entry in seen}) for seen in runs]
    print(f"child processes: {counts[0]} without loaders, {counts[1]} with 2")


if __name__ == "__main__":
    typer.run(main)
