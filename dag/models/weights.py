"""Weights and files: our own model folder, and single files under our or others' names (`dag.models.checkpoints`)."""

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
    """What `load_weights` did.

    Attributes:
        names: whose names the file uses: "own", "official", "mmpose" or "imagenet" (a backbone's backbone).
        loaded: how many entries were taken from the file.
        missing: the model's entries that the file does not have.
        extra: the file's entries (by our names) that the model does not have.
        mismatched: entries of both, with different shapes: "name: expected ..., got ...".
    """

    names: str
    loaded: int
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    mismatched: tuple[str, ...]

    def __str__(self) -> str:
        lists = (("missing", self.missing), ("extra", self.extra), ("of another shape", self.mismatched))
        found = [f"{len(keys)} {word} ({', '.join(keys)})" for word, keys in lists if keys]
        return ", ".join([f"{self.loaded} entries loaded, {self.names} names", *found])


def save_model(model: DagPose, folder: str | Path) -> None:
    """Write a model of `build_model` as `model.safetensors` and `config.json`, which hold all that `load_model` needs.

    Args:
        model: may be on any device and in any memory format; the file is the same.
        folder: made when absent.

    Raises:
        UserError: the model was composed by hand, so nothing says how to build it again.
    """
    if model.options is None:
        raise UserError("a model without options", where=folder, do="build it with build_model, or use save_weights")
    save_weights(model, Path(folder) / WEIGHTS, names="own")
    write_json(Path(folder) / CONFIG, {"model": model.options})


def load_model(folder: str | Path) -> tuple[DagPose, tuple[int, int]]:
    """The model that `save_model` wrote, in eval mode on the CPU, and its `input_wh`.

    Raises:
        UserError: a file is missing or is not what `save_model` writes.
    """
    config = read_json(Path(folder) / CONFIG)
    try:
        width, height = config["model"]["input_wh"]
        input_wh = (int(width), int(height))
        model = build_model(**{**config["model"], "input_wh": input_wh})
    except (KeyError, TypeError, ValueError) as error:
        raise UserError("not a model's description", where=Path(folder) / CONFIG, got=error, do="train again") from None
    load_weights(model, Path(folder) / WEIGHTS)
    return model.eval(), input_wh


def save_weights(model: DagPose, path: str | Path, names: Literal["own", "official"] = "own") -> None:
    """Write a model's weights as safetensors, whole or not at all.

    Args:
        model: with `names="official"` one without attention and graph.
        path: file.
        names: "own", or "official": the names of the authors' pose_hrnet and pose_resnet.

    Raises:
        UserError: official names for a model that the authors do not have.
    """
    state = model.state_dict()
    if names == "official":
        ours = sorted({name.partition(".")[0] for name in state} - {"backbone", "head"})
        if ours:
            raise UserError("these parts have no official names", where=path, got=ours, do="save with names='own'")
        state = {name.partition(".")[2]: value for name, value in state.items()}
    with whole_file(path) as partial:
        save_file({name: value.cpu().contiguous() for name, value in state.items()}, partial)


def load_weights(model: DagPose, path: str | Path, strict: bool = True) -> LoadReport:
    """Load a file into a model: of our, official or mmpose's names, a whole pose network or an ImageNet backbone.

    Args:
        model: stays as it is when an error is raised.
        path: `.safetensors`, or a PyTorch checkpoint (`.pth`, `.pt`, `.ckpt`) that holds nothing but tensors.
        strict: every entry must be in both; of an ImageNet file only the backbone's, its classifier is left out.
            Otherwise what fits is loaded, and the report lists what did not.

    Raises:
        UserError: a missing or unsafe file, nothing that fits, or (strict) anything that does not; all are listed.
    """
    checkpoint, expected = read_checkpoint(path), model.state_dict()
    report, fitting = fit(checkpoint, expected)
    if not fitting:
        raise UserError("no weights of this model", where=path, expected=_few(expected), got=_few(checkpoint.tensors))
    if strict and (report.missing or report.extra or report.mismatched):
        raise UserError("weights do not fit the model", where=path, got=report)
    model.load_state_dict(fitting, strict=False)
    return report


def fit(checkpoint: Checkpoint, expected: Mapping[str, Tensor]) -> tuple[LoadReport, dict[str, Tensor]]:
    """What of a checkpoint fits a model's state dict, and what of both is left over."""
    tensors = checkpoint.tensors
    fitting = {
        name: value for name, value in tensors.items() if name in expected and expected[name].shape == value.shape
    }
    trunk_only = checkpoint.names == "imagenet"
    report = LoadReport(
        names=checkpoint.names,
        loaded=len(fitting),
        missing=tuple(name for name in expected if name not in tensors and _asked(name, trunk_only)),
        extra=tuple(name for name in tensors if name not in expected and not (trunk_only and _behind_backbone(name))),
        mismatched=tuple(
            f"{name}: expected {tuple(expected[name].shape)}, got {tuple(value.shape)}"
            for name, value in tensors.items()
            if name in expected and name not in fitting
        ),
    )
    return report, fitting


def _asked(name: str, trunk_only: bool) -> bool:
    """Files older than PyTorch 0.4.1 have no batch counters, and nothing here reads them."""
    if name.endswith("num_batches_tracked"):
        return False
    return not trunk_only or (name.startswith("backbone.") and not name.startswith("backbone.deconv_layers."))


def _behind_backbone(name: str) -> bool:
    """The classifier, and the branches of HRNet's last fusion that only it reads."""
    return name.startswith(("classifier.", "backbone.stage4."))


def _few(tensors: Mapping[str, Tensor]) -> str:
    return f"names such as {', '.join(list(tensors)[:3])}"


def inspect_weights(path: str | Path) -> list[str]:
    """What a file of weights is and what would load, a line each.

    Raises:
        UserError: as `read_checkpoint`.
    """
    checkpoint = read_checkpoint(path)
    tensors = checkpoint.tensors
    trained = sum(v.numel() for n, v in tensors.items() if not n.endswith(("running_mean", "running_var", "tracked")))
    lines = [f"{checkpoint.names} names, {len(tensors)} entries, {trained:,} parameters"]
    reports = {name: fit(checkpoint, _backbone_state(name))[0] for name in BACKBONES}
    name, report = min(reports.items(), key=lambda item: len(item[1].missing) + len(item[1].mismatched))
    lacking = len(report.missing) + len(report.mismatched)
    if not report.loaded:
        return [*lines, f"no known backbone ({', '.join(BACKBONES)})"]
    state = f"{lacking} entries missing or of another shape" if lacking else "complete"
    lines.append(f"backbone: {name}, {state}")
    rooms = sorted({entry.partition(".")[0] for entry in tensors} - {"backbone"})
    lines += [f"{room}: {sum(entry.startswith(f'{room}.') for entry in tensors)} entries" for room in rooms]
    if "head.final_layer.weight" in tensors:
        lines.append(f"joints: {len(tensors['head.final_layer.weight'])}")
    return [*lines, f"loads with train.weights: {path} and model.backbone: {name}"]


def _backbone_state(name: str) -> dict[str, Tensor]:
    with torch.device("meta"):
        backbone = BACKBONES[name]()
    return {f"backbone.{entry}": value for entry, value in backbone.state_dict().items()}
