"""Short trainings in separate processes, forked from a server that has already imported torch and Lightning."""

import os
import resource
import socket
import sys
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from dag.annotation import read_annotations
from dag.boxes import boxes_of, evaluated_persons
from dag.cache.batches import PersonCrops
from dag.models.pose import build_model
from dag.prediction import write_predictions
from dag.stage import run
from dag.training.data import PoseData
from dag.training.module import PoseTraining
from dag.training.train import train_pose
from dag.training.validation import predict_distributed, validation_metrics

AUGMENT = {"flip": 0.5, "rotation": 45.0, "rotation_p": 0.6, "scale": 0.35, "half_body": 0.3}


def make_module(**changes: object) -> PoseTraining:
    """A small DAG model with fixed weights in its training module."""
    torch.manual_seed(3)
    model = build_model("hrnet_tiny", adam=True, graph=True, detach=True, width=32, blocks=2)
    settings = {
        "input_wh": (96, 128), "multi_person": 1.0, "target": 1.0, "graph": 0.1, "brightness": 0.1,
        "contrast": 0.1, "color": 0.1, "learning_rate": 0.002, "warmup_steps": 0, "milestones": [2], "seed": 1,
    }  # fmt: skip
    return PoseTraining(model, **{**settings, **changes})  # type: ignore[arg-type]


def start(target: Any, log: Path, *arguments: Any, rank: int = 0, port: int = 0) -> BaseProcess:
    """Start `target(*arguments)` as a stage runs; its stderr goes to `log`. With a port: process `rank` of two."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.training_run"])
    process = context.Process(target=_body, args=(target, log, arguments, rank, port))
    process.start()
    return process


def free_port() -> int:
    """A free port for the process group."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        return other.getsockname()[1]


def _body(target: Any, log: Path, arguments: tuple, rank: int, port: int) -> None:
    torch.set_num_threads(1)
    log.parent.mkdir(parents=True, exist_ok=True)
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    sys.argv = ["train"]
    if port:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
        os.environ |= {"NODE_RANK": "0", "LOCAL_RANK": str(rank)}

    def stage() -> None:
        target(*arguments)

    run(stage)


def train(rendered: Any, state: Path, module: dict[str, Any], settings: dict[str, Any]) -> None:
    """A short run with real validation.

    Args:
        module: changes of `make_module`.
        settings: of `train_pose`; also `batch_size`, `frozen` (batch normalisation) and `max_file_size` in bytes.
    """
    settings = {"epochs": 3, "validate_every": 1, "device": "cpu", **settings}
    batch_size, frozen, max_file_size = (settings.pop(name, None) for name in ("batch_size", "frozen", "max_file_size"))
    training = make_module(**module)
    if frozen:
        for layer in training.modules():
            if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
                layer.eval()
    persons, skeleton = read_annotations(rendered.annotations, "val")
    options = {"input_wh": (96, 128), "batch_size": 8, "sheet": state / "samples.jpg"}
    validate = validation_metrics(persons, rendered.root, skeleton, **options)
    crops = PersonCrops(rendered.cache, occluded=0.5, seed=1, **AUGMENT)
    if max_file_size:
        os.chdir(state.parent)  # outside a DVC repository, whose database may be larger
        resource.setrlimit(resource.RLIMIT_FSIZE, (max_file_size, max_file_size))
    data = PoseData(crops, batch_size or 8, seed=1, workers=0)
    train_pose(training, data, validate=validate, state=state, **settings)


def predict(rendered: Any, folder: Path) -> None:
    """Predictions of the val persons by two processes; each writes all of them to `folder` under its rank."""
    torch.distributed.init_process_group("gloo", rank=int(os.environ["LOCAL_RANK"]), world_size=2)
    persons, skeleton = read_annotations(rendered.annotations, "val")
    boxes = boxes_of(evaluated_persons(persons))
    model = make_module().model
    predictions = predict_distributed(model, boxes, rendered.root, skeleton, input_wh=(96, 128), batch_size=8)
    write_predictions(folder / f"{torch.distributed.get_rank()}.parquet", predictions, skeleton)
