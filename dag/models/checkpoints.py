"""Safe reading of published checkpoints, and conversion of their parameter names to those of `DagPose`.

In a `DagPose`, `backbone.` and `head.` are followed by the names of the official code (pose_hrnet and pose_resnet of
leoxiaobin/deep-high-resolution-net.pytorch). An official name is thus ours without its first component:
`final_layer.*` belongs to the head, everything else to the backbone. mmpose uses our first components, but its
transposed convolutions belong to the head. An ImageNet checkpoint is an official backbone with a classifier. No code
contained in a file is executed.
"""

import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from dag.errors import UserError

CLASSIFIER = ("fc.", "classifier.", "final_layer.", "incre_modules.", "downsamp_modules.")
"""Prefixes of the classifier in ImageNet checkpoints (torchvision; HRNet-Image-Classification)."""

MMPOSE = ("data_preprocessor.", "keypoint_head.", "head.deconv_layers.")
"""Prefixes that only mmpose's state dicts have."""

NOT_WEIGHTS = ("data_preprocessor.", "backbone_ema.", "ema_")
"""Prefixes of entries in mmpose's state dicts that are not parameters of the network."""


@dataclass(frozen=True)
class Checkpoint:
    """Weights of a file, by the parameter names of `DagPose`.

    Attributes:
        names: naming scheme of the file: "own", "official", "mmpose" or "imagenet".
        tensors: tensors by the names of `DagPose`.
    """

    names: str
    tensors: dict[str, Tensor]


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read `.safetensors`, or a PyTorch checkpoint that contains only tensors and plain values.

    Raises:
        UserError: the file is missing, is not a checkpoint, or would need code to be executed (it is refused).
    """
    tensors = read_tensors(Path(path))
    names = _naming_scheme(tensors)
    weights = {name: value for name, value in tensors.items() if not name.startswith(NOT_WEIGHTS)}
    return Checkpoint(names, {_OWN_NAME[names](name): value for name, value in weights.items()})


def _naming_scheme(tensors: dict[str, Tensor]) -> str:
    if any(name.startswith(("fc.", "classifier.")) for name in tensors):
        return "imagenet"
    if any(name.startswith(MMPOSE) for name in tensors):
        return "mmpose"
    return "own" if any(name.startswith("backbone.") for name in tensors) else "official"


def _official(name: str) -> str:
    return f"head.{name}" if name.startswith("final_layer.") else f"backbone.{name}"


def _imagenet(name: str) -> str:
    return f"classifier.{name}" if name.startswith(CLASSIFIER) else f"backbone.{name}"


def _mmpose(name: str) -> str:
    name = name.replace("keypoint_head.", "head.", 1) if name.startswith("keypoint_head.") else name
    return name.replace("head.", "backbone.", 1) if name.startswith("head.deconv_layers.") else name


_OWN_NAME = {"own": str, "official": _official, "mmpose": _mmpose, "imagenet": _imagenet}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a file, unwrapped from `state_dict`, `model` and the prefix of `DataParallel`.

    Raises:
        UserError: as `read_checkpoint`.
    """
    try:
        with warnings.catch_warnings():
            # torch warns about foreign pickles; the errors below say all that matters.
            warnings.simplefilter("ignore")
            content: Any = (
                load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
            )
    except OSError as error:
        raise UserError("no such file", where=path, got=error, do="check the path of the weights") from None
    except pickle.UnpicklingError:
        do = "if you trust its source, load it and save only its state_dict"
        raise UserError("refused: not plain tensors", where=path, expected="a state dict", do=do) from None
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError):
        expected = "safetensors or a PyTorch checkpoint"
        raise UserError("not a checkpoint", where=path, expected=expected, do="download it again") from None
    for wrapper in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError("refused: not plain tensors", where=path, expected="a state dict", got=type(content).__name__)
    return {name.removeprefix("module."): value for name, value in content.items()}
