"""Who trains: devices that there are, and processes that somebody started."""

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
from dag.training.engine import process_options
from dag.training.train import train_pose
from tests.conftest import Rendered
from tests.training_run import LIVELY, make_module

STARTED_BY = ("WORLD_SIZE", "SLURM_NTASKS", "SLURM_NTASKS_PER_NODE", "SLURM_JOB_NAME", "TORCHELASTIC_RUN_ID")


@pytest.fixture(autouse=True)
def _started_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in STARTED_BY:
        monkeypatch.delenv(name, raising=False)


def options(kind: str = "cpu", devices: int | str = 1, nodes: int = 1, strategy: str = "auto") -> dict:
    return process_options(kind, devices, nodes, strategy, timedelta(minutes=1))


def test_one_process_needs_no_strategy() -> None:
    for found in (options(), options(devices="auto")):
        assert (found["devices"], found["strategy"], found["sync_batchnorm"], found["plugins"]) == (
            1,
            "auto",
            False,
            None,
        )
    assert isinstance(options(strategy="ddp")["strategy"], DDPStrategy)


@pytest.mark.parametrize(("kind", "names"), [("cpu", "CPU cores, one a process"), ("cuda", "CUDA devices")])
def test_more_devices_than_present(kind: str, names: str) -> None:
    present = torch.cuda.device_count() if kind == "cuda" else os.cpu_count() or 1
    with pytest.raises(UserError) as error:
        options(kind, devices=present + 1)
    expected = f"engine.devices: more devices than present: expected at most {present} {names}, got {present + 1}"
    assert str(error.value) == expected


@pytest.mark.parametrize("name", ["WORLD_SIZE", "SLURM_NTASKS"])
def test_another_number_of_processes_than_started(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "6")
    with pytest.raises(UserError) as error:
        options(nodes=2)
    expected = "expected 6, the processes that were started, got 2"
    assert str(error.value) == f"engine.devices x engine.nodes: number of processes: {expected}"
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "1")
    found = options(nodes=6)
    assert isinstance(found["strategy"], DDPStrategy)
    assert found["num_nodes"] == 6


@pytest.mark.parametrize("tasks", [1, 2])
def test_slurm_does_not_requeue_amid_an_epoch(monkeypatch: pytest.MonkeyPatch, tasks: int) -> None:
    monkeypatch.setenv("SLURM_NTASKS", str(tasks))
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "1")
    (plugin,) = options(nodes=tasks)["plugins"]
    assert isinstance(plugin, SLURMEnvironment)
    assert not plugin.auto_requeue


@pytest.mark.parametrize("a_node", [None, "2"])
def test_slurm_says_how_many_a_node(monkeypatch: pytest.MonkeyPatch, a_node: str | None) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "2")
    if a_node:
        monkeypatch.setenv("SLURM_NTASKS_PER_NODE", a_node)
    with pytest.raises(UserError) as error:
        options(nodes=2)
    expected = f"processes of a node: expected {a_node}, got 1; start it with srun --nodes=2 --ntasks-per-node=1"
    assert str(error.value) == f"engine.devices: {expected}".replace("expected None, ", "")


def test_torchrun_counts_inside_a_slurm_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SLURM_NTASKS", "1"), ("TORCHELASTIC_RUN_ID", "1"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    assert options(nodes=2)["plugins"] is None


def test_a_batch_is_not_larger_than_the_data(rendered: Rendered) -> None:
    crops = PersonCrops(rendered.cache, occluded=0.5, seed=1, **LIVELY)
    with pytest.raises(UserError) as error:
        PoseData(crops, len(crops) + 1, seed=1, workers=0)
    expected = f"expected at most {len(crops)}, the people to train on, got {len(crops) + 1}"
    assert str(error.value) == f"train.batch_size: batch larger than the data: {expected}"


def test_every_process_has_people(rendered: Rendered, tmp_path: Path) -> None:
    crops = PersonCrops(rendered.cache, occluded=0.5, seed=1, **LIVELY)
    with pytest.raises(UserError) as error:
        train_pose(
            make_module(), PoseData(crops, 2, seed=1, workers=0), epochs=1, validate_every=1, metrics=lambda model: {},
            state=tmp_path, device="cpu", nodes=3,
        )  # fmt: skip
    expected = "expected at most 2, the people of a batch, got 3"
    assert str(error.value) == f"engine.devices x engine.nodes: more processes than people: {expected}"


def test_processes_share_out_every_batch(rendered: Rendered) -> None:
    data = PoseData(PersonCrops(rendered.cache, occluded=0.5, seed=1, **LIVELY), 8, seed=1, workers=0)
    whole, parts = data.batches(2), [data.batches(2, rank, 3) for rank in range(3)]
    assert whole != data.batches(3)
    for number, batch in enumerate(whole):
        assert [len(part[number]) for part in parts] == [3, 3, 2]
        assert sorted(person for part in parts for person in part[number]) == sorted(batch)
