"""Files of weights that the field has: safe reading, whose names they use, and which network they are of.

Names. In a `DagPose`, `backbone.*` and `head.*` are followed by the authors' names (pose_hrnet and pose_resnet of
leoxiaobin/deep-high-resolution-net.pytorch); their only layer in our head is `final_layer`. So an official name is
ours without its first part, and `final_layer.*` belongs to `head`, everything else to `backbone`. mmpose has our first
parts, but its deconvolutions belong to the head. An ImageNet file is an official backbone with a classifier behind it.
Nothing here runs code that a file brings along.
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
"""What ImageNet files have behind the backbone (torchvision; HRNet-Image-Classification)."""

NOT_WEIGHTS = ("data_preprocessor.", "backbone_ema.", "ema_")
"""What mmpose keeps in a state dict beside the network."""


@dataclass(frozen=True)
class Checkpoint:
    """Weights under the names that a `DagPose` has.

    Attributes:
        names: whose names the file uses: "own", "official", "mmpose" or "imagenet".
        tensors: by our names.
    """

    names: str
    tensors: dict[str, Tensor]


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a file of weights: `.safetensors`, or a PyTorch checkpoint that holds nothing but tensors and plain values.

    Raises:
        UserError: missing, not a file of weights, or one that only code could read (it is refused, nothing is run).
    """
    tensors = _read_tensors(Path(path))
    names = _whose_names(tensors)
    weights = {name: value for name, value in tensors.items() if not name.startswith(NOT_WEIGHTS)}
    return Checkpoint(names, {_OWN_NAME[names](name): value for name, value in weights.items()})


def _whose_names(tensors: dict[str, Tensor]) -> str:
    if any(name.startswith(("fc.", "classifier.")) for name in tensors):
        return "imagenet"
    theirs = ("data_preprocessor.", "keypoint_head.", "head.deconv_layers.")
    if any(name.startswith(theirs) for name in tensors):
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
