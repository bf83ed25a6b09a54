"""Saving and loading of models: a model folder, and single files of weights in any supported naming scheme."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from torch import Tensor

from dag.errors import UserError
from dag.files import read_json, whole_file, write_json
from dag.models.checkpoints import Checkpoint, read_checkpoint
from dag.models.pose import BACKBONES, DagPose, build_model

WEIGHTS = "model.safetensors"
CONFIG = "config.json"


@dataclass(frozen=True)
class LoadReport:
    """Result of `load_weights`.

    Attributes:
        names: naming scheme of the file: "own", "official", "mmpose" or "imagenet" (a backbone only).
        loaded: number of entries loaded.
        missing: entries of the model that are not in the file.
        extra: entries of the file that are not in the model, by the names of `DagPose`.
        mismatched: entries with different shapes, as "name: expected ..., got ...".
    """

    names: str
    loaded: int
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    mismatched: tuple[str, ...]

    def __str__(self) -> str:
        lists = (("missing", self.missing), ("extra", self.extra), ("of another shape", self.mismatched))
        problems = [f"{len(keys)} {word} ({', '.join(keys)})" for word, keys in lists if keys]
        return ", ".join([f"{self.loaded} entries loaded, {self.names} names", *problems])


def save_model(model: DagPose, folder: str | Path) -> None:
    """Write a model of `build_model` as `model.safetensors` and `config.json`, from which `load_model` restores it.

    Args:
        model: on any device and in any memory format; the files are the same.
        folder: created if absent.

    Raises:
        UserError: the model was not built by `build_model`, so its options are unknown.
    """
    if model.options is None:
        raise UserError("model without options", where=folder, do="build it with build_model, or use save_weights")
    save_weights(model, Path(folder) / WEIGHTS, names="own")
    write_json(Path(folder) / CONFIG, {"model": model.options})


def load_model(folder: str | Path) -> tuple[DagPose, tuple[int, int]]:
    """The model that `save_model` wrote, in evaluation mode on the CPU, and its `input_wh`.

    Raises:
        UserError: a file is missing or was not written by `save_model`.
    """
    config = read_json(Path(folder) / CONFIG)
    try:
        width, height = config["model"]["input_wh"]
        input_wh = (int(width), int(height))
        model = build_model(**{**config["model"], "input_wh": input_wh})
    except (KeyError, TypeError, ValueError) as error:
        raise UserError("invalid model options", where=Path(folder) / CONFIG, got=error, do="train again") from None
    load_weights(model, Path(folder) / WEIGHTS)
    return model.eval(), input_wh


def save_weights(model: DagPose, path: str | Path, names: Literal["own", "official"] = "own") -> None:
    """Write the weights of a model as safetensors, atomically.

    Args:
        model: with `names="official"`, a model without attention and graph.
        path: output file.
        names: naming scheme: "own", or "official" for the names of pose_hrnet and pose_resnet.

    Raises:
        UserError: the model has modules that the official code does not have.
    """
    state = model.state_dict()
    if names == "official":
        unnamed = sorted({name.partition(".")[0] for name in state} - {"backbone", "head"})
        if unnamed:
            raise UserError("modules without official names", where=path, got=unnamed, do="save with names='own'")
        state = {name.partition(".")[2]: value for name, value in state.items()}
    with whole_file(path) as partial:
        save_file({name: value.cpu().contiguous() for name, value in state.items()}, partial)


def load_weights(model: DagPose, path: str | Path, strict: bool = True) -> LoadReport:
    """Load weights in our, the official or mmpose's naming scheme: a complete pose network or an ImageNet backbone.

    Args:
        model: unchanged if an error is raised.
        path: `.safetensors`, or a PyTorch checkpoint (`.pth`, `.pt`, `.ckpt`) that contains only tensors.
        strict: whether the entries of file and model must be the same; of an ImageNet checkpoint only the entries of
            the backbone are compared. If false, matching entries are loaded and the report lists the others.

    Raises:
        UserError: the file is missing or unsafe, no entry matches, or (strict) an entry does not; all are listed.
    """
    checkpoint, expected = read_checkpoint(path), model.state_dict()
    report, matching = match(checkpoint, expected)
    if not matching:
        raise UserError("no weights of this model", where=path, expected=_few(expected), got=_few(checkpoint.tensors))
    if strict and (report.missing or report.extra or report.mismatched):
        raise UserError("weights do not fit the model", where=path, got=report)
    model.load_state_dict(matching, strict=False)
    return report


def match(checkpoint: Checkpoint, expected: Mapping[str, Tensor]) -> tuple[LoadReport, dict[str, Tensor]]:
    """Entries of a checkpoint that match the state dict `expected`, after a report of all differences."""
    tensors = checkpoint.tensors
    matching = {
        name: value for name, value in tensors.items() if name in expected and expected[name].shape == value.shape
    }
    backbone_only = checkpoint.names == "imagenet"
    report = LoadReport(
        names=checkpoint.names,
        loaded=len(matching),
        missing=tuple(name for name in expected if name not in tensors and _required(name, backbone_only)),
        extra=tuple(name for name in tensors if name not in expected and not (backbone_only and _classifies(name))),
        mismatched=tuple(
            f"{name}: expected {tuple(expected[name].shape)}, got {tuple(value.shape)}"
            for name, value in tensors.items()
            if name in expected and name not in matching
        ),
    )
    return report, matching


def _required(name: str, backbone_only: bool) -> bool:
    """Whether a checkpoint must have an entry. Batch counters are unused and absent before PyTorch 0.4.1."""
    if name.endswith("num_batches_tracked"):
        return False
    return not backbone_only or (name.startswith("backbone.") and not name.startswith("backbone.deconv_layers."))


def _classifies(name: str) -> bool:
    """Whether an entry belongs to the classifier, or to the branches of HRNet's last fusion that only it uses."""
    return name.startswith(("classifier.", "backbone.stage4."))


def _few(tensors: Mapping[str, Tensor]) -> str:
    return f"names such as {', '.join(list(tensors)[:3])}"


def inspect_weights(path: str | Path) -> list[str]:
    """Lines that describe a checkpoint: naming scheme, backbone, modules, joints and how to load it.

    Raises:
        UserError: as `read_checkpoint`.
    """
    checkpoint = read_checkpoint(path)
    tensors = checkpoint.tensors
    trained = sum(v.numel() for n, v in tensors.items() if not n.endswith(("running_mean", "running_var", "tracked")))
    lines = [f"{checkpoint.names} names, {len(tensors)} entries, {trained:,} parameters"]
    reports = {name: match(checkpoint, _backbone_state(name))[0] for name in BACKBONES}
    name, report = min(reports.items(), key=lambda item: len(item[1].missing) + len(item[1].mismatched))
    incomplete = len(report.missing) + len(report.mismatched)
    if not report.loaded:
        return [*lines, f"no known backbone ({', '.join(BACKBONES)})"]
    state = f"{incomplete} entries missing or of another shape" if incomplete else "complete"
    lines.append(f"backbone: {name}, {state}")
    modules = sorted({entry.partition(".")[0] for entry in tensors} - {"backbone"})
    lines += [f"{module}: {sum(entry.startswith(f'{module}.') for entry in tensors)} entries" for module in modules]
    if "head.final_layer.weight" in tensors:
        lines.append(f"joints: {len(tensors['head.final_layer.weight'])}")
    return [*lines, f"loads with train.weights: {path} and model.backbone: {name}"]


def _backbone_state(name: str) -> dict[str, Tensor]:
    """State dict of a backbone with shapes but without data."""
    with torch.device("meta"):
        backbone = BACKBONES[name]()
    return {f"backbone.{entry}": value for entry, value in backbone.state_dict().items()}
