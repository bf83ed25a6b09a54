"""Model, Lightning module and data module of a training run from plain named arguments."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from dag.cache.batches import PersonCrops
from dag.inference.predictor import torch_device
from dag.models.pose import build_model
from dag.training.data import PoseData
from dag.training.initialisation import initialise
from dag.training.module import PoseTraining


def build_training(
    cache: Path,
    *,
    model: Mapping[str, Any],
    weights: str | None,
    occluded: float,
    augment: Mapping[str, float],
    batch_size: int,
    loss: Mapping[str, float],
    photometric: Mapping[str, float],
    learning_rate: float,
    warmup_steps: int,
    milestones: list[int],
    seed: int,
    device: str,
    workers: int,
) -> tuple[PoseTraining, PoseData]:
    """The module and the data that `dag.training.train.train_pose` takes.

    Args:
        cache: folder of the crop cache.
        model: arguments of `build_model`; the initial weights follow from `seed`.
        weights: a checkpoint to start from (`initialise`), what was loaded is printed; None: from scratch.
        occluded, augment: arguments of `PersonCrops`.
        batch_size: persons per batch, over all processes.
        loss, photometric, learning_rate, warmup_steps, milestones: arguments of `PoseTraining`.
        seed: of all randomness.
        device: "auto", "cpu" or "cuda".
        workers: loader processes; on a CPU none are used, because they would compete with the network for its cores.

    Raises:
        UserError: weights of another network, fewer persons than a batch has, or no CUDA device.
    """
    torch.manual_seed(seed)
    network = build_model(**model)
    if weights:
        print(f"{weights}: {initialise(network, weights)}")
    crops = PersonCrops(cache, occluded=occluded, seed=seed, **augment)
    data = PoseData(crops, batch_size, seed, workers if torch_device(device).type == "cuda" else 0)
    schedule: dict[str, Any] = {"learning_rate": learning_rate, "warmup_steps": warmup_steps, "milestones": milestones}
    module = PoseTraining(network, input_wh=model["input_wh"], **loss, **photometric, **schedule, seed=seed)
    return module, data
