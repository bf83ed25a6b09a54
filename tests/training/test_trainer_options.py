"""Options of the Trainer against the devices available and the processes started."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.strategies import DDPStrategy

from dag.cache.batches import PersonCrops
from dag.errors import UserError
from dag.training.data import PoseData
from dag.training.train import train_pose
from dag.training.trainer_options import process_options
from tests.conftest import Rendered
from tests.training_run import AUGMENT, make_module

LAUNCHER_VARIABLES = ("WORLD_SIZE", "SLURM_NTASKS", "SLURM_NTASKS_PER_NODE", "SLURM_JOB_NAME", "TORCHELASTIC_RUN_ID")


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LAUNCHER_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def options(accelerator: str = "cpu", devices: int | str = 1, nodes: int = 1, strategy: str = "auto") -> dict:
    return process_options(accelerator, devices, nodes, strategy, timedelta(minutes=1))


def test_one_process_needs_no_strategy() -> None:
    for given in (options(), options(devices="auto")):
        names = ("devices", "strategy", "sync_batchnorm", "plugins")
        assert [given[name] for name in names] == [1, "auto", False, None]
    assert isinstance(options(strategy="ddp")["strategy"], DDPStrategy)


@pytest.mark.parametrize(("accelerator", "names"), [("cpu", "CPU cores, one per process"), ("cuda", "CUDA devices")])
def test_more_devices_than_available(accelerator: str, names: str) -> None:
    available = torch.cuda.device_count() if accelerator == "cuda" else os.cpu_count() or 1
    with pytest.raises(UserError) as error:
        options(accelerator, devices=available + 1)
    expected = f"expected at most {available} {names}, got {available + 1}"
    assert str(error.value) == f"engine.devices: more devices than available: {expected}"


@pytest.mark.parametrize("name", ["WORLD_SIZE", "SLURM_NTASKS"])
def test_not_the_number_of_started_processes(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "6")
    with pytest.raises(UserError) as error:
        options(nodes=2)
    expected = "expected 6, the number of started processes, got 2"
    assert str(error.value) == f"engine.devices x engine.nodes: wrong number of processes: {expected}"
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "1")
    given = options(nodes=6)
    assert isinstance(given["strategy"], DDPStrategy)
    assert given["num_nodes"] == 6


@pytest.mark.parametrize("tasks", [1, 2])
def test_slurm_does_not_requeue_within_an_epoch(monkeypatch: pytest.MonkeyPatch, tasks: int) -> None:
    monkeypatch.setenv("SLURM_NTASKS", str(tasks))
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "1")
    (plugin,) = options(nodes=tasks)["plugins"]
    assert isinstance(plugin, SLURMEnvironment)
    assert not plugin.auto_requeue


@pytest.mark.parametrize("per_node", [None, "2"])
def test_not_the_number_of_slurm_tasks_per_node(monkeypatch: pytest.MonkeyPatch, per_node: str | None) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "2")
    if per_node:
        monkeypatch.setenv("SLURM_NTASKS_PER_NODE", per_node)
    with pytest.raises(UserError) as error:
        options(nodes=2)
    expected = f"expected {per_node}, got 1; start it with srun --nodes=2 --ntasks-per-node=1"
    text = f"engine.devices: wrong number of processes per node: {expected}"
    assert str(error.value) == text.replace("expected None, ", "")


def test_torchrun_takes_precedence_over_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SLURM_NTASKS", "1"), ("TORCHELASTIC_RUN_ID", "1"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    assert options(nodes=2)["plugins"] is None


def test_every_process_has_persons(rendered: Rendered, tmp_path: Path) -> None:
    crops = PersonCrops(rendered.cache, occluded=0.5, seed=1, **AUGMENT)
    with pytest.raises(UserError) as error:
        train_pose(
            make_module(), PoseData(crops, 2, seed=1, workers=0), epochs=1, validate_every=1, validate=lambda model: {},
            state=tmp_path, device="cpu", nodes=3,
        )  # fmt: skip
    expected = "expected at most 2, the batch size, got 3"
    assert str(error.value) == f"engine.devices x engine.nodes: more processes than persons per batch: {expected}"
