"""Weights and files: our own model folder, and single files under our or the authors' names.

Names. In a `DagPose`, `backbone.*` and `head.*` are followed by the authors' names (pose_hrnet and pose_resnet of
leoxiaobin/deep-high-resolution-net.pytorch); their only layer in our head is `final_layer`. So an official name is
ours without its first part, and `final_layer.*` belongs to `head`, everything else to `backbone`.
Nothing here runs code that a file brings along.
"""

import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dag.errors import UserError
from dag.files import read_json, whole_file, write_json
from dag.model import DagPose, build_model

WEIGHTS = "model.safetensors"
CONFIG = "config.json"


@dataclass(frozen=True)
class LoadReport:
    """What `load_weights` did.

    Attributes:
        names: whose names the file uses: "own" or "official".
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


def save_model(model: DagPose, folder: str | Path, *, input_wh: tuple[int, int]) -> None:
    """Write a model of `build_model` as `model.safetensors` and `config.json`, which hold all that `load_model` needs.

    Args:
        model: may be on any device and in any memory format; the file is the same.
        folder: made when absent.
        input_wh: width and height in pixels of the crops it was trained on.

    Raises:
        UserError: the model was composed by hand, so nothing says how to build it again.
    """
    if model.options is None:
        raise UserError("a model without options", where=folder, do="build it with build_model, or use save_weights")
    save_weights(model, Path(folder) / WEIGHTS, names="own")
    write_json(Path(folder) / CONFIG, {"model": model.options, "input_wh": list(input_wh)})


def load_model(folder: str | Path) -> tuple[DagPose, tuple[int, int]]:
    """The model that `save_model` wrote, in eval mode on the CPU, and its `input_wh`.

    Raises:
        UserError: a file is missing or is not what `save_model` writes.
    """
    config = read_json(Path(folder) / CONFIG)
    try:
        width, height = config["input_wh"]
        model = build_model(**config["model"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError("not a model's description", where=Path(folder) / CONFIG, got=error, do="train again") from None
    load_weights(model, Path(folder) / WEIGHTS)
    return model.eval(), (int(width), int(height))


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
    """Load a file into a model. It may be of our or of official names, a whole pose network or a backbone alone.

    Args:
        model: stays as it is when an error is raised.
        path: `.safetensors`, or a PyTorch checkpoint (`.pth`, `.pt`, `.ckpt`) that holds nothing but tensors.
        strict: every entry must be in both. Otherwise what fits is loaded, and the report lists what did not.

    Raises:
        UserError: a missing or unsafe file, nothing that fits, or (strict) anything that does not; all are listed.
    """
    tensors, names = _own_names(_read_tensors(Path(path)))
    expected = model.state_dict()
    fitting = {
        name: value for name, value in tensors.items() if name in expected and expected[name].shape == value.shape
    }
    report = LoadReport(
        names=names,
        loaded=len(fitting),
        # Files older than PyTorch 0.4.1 have no such counters, and nothing here reads them.
        missing=tuple(name for name in expected if name not in tensors and not name.endswith("num_batches_tracked")),
        extra=tuple(name for name in tensors if name not in expected),
        mismatched=tuple(
            f"{name}: expected {tuple(expected[name].shape)}, got {tuple(value.shape)}"
            for name, value in tensors.items()
            if name in expected and name not in fitting
        ),
    )
    if not fitting:
        raise UserError("no weights of this model", where=path, expected=_few(expected), got=_few(tensors))
    if strict and (report.missing or report.extra or report.mismatched):
        raise UserError("weights do not fit the model", where=path, got=report)
    model.load_state_dict(fitting, strict=False)
    return report


def _few(tensors: Mapping[str, Tensor]) -> str:
    return f"names such as {', '.join(list(tensors)[:3])}"


def _own_names(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    if any(name.startswith("backbone.") for name in tensors):
        return tensors, "own"
    rooms = {name: "head" if name.startswith("final_layer.") else "backbone" for name in tensors}
    return {f"{rooms[name]}.{name}": value for name, value in tensors.items()}, "official"


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a file, without the wrappers that trainers put round them."""
    try:
        with warnings.catch_warnings():
            # torch remarks on pickles that are not its own; what matters of it is in the errors below.
            warnings.simplefilter("ignore")
            content: Any = (
                load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
            )
    except OSError as error:
        raise UserError("no such file", where=path, got=error, do="check the path of the weights") from None
    except pickle.UnpicklingError:
        do = "load it where you trust it and save its state_dict alone"
        raise UserError("refused: not plain tensors", where=path, expected="a state dict", do=do) from None
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError):
        expected = "safetensors or a PyTorch checkpoint"
        raise UserError("not a file of weights", where=path, expected=expected, do="fetch it again") from None
    for wrapper in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError("refused: not plain tensors", where=path, expected="a state dict", got=type(content).__name__)
    return {name.removeprefix("module."): value for name, value in content.items()}
