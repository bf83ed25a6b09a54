"""Weights of CE2P: our own files and the published ones of SCHP.

SCHP's networks (Li et al., TPAMI 2020) were trained with InPlaceABN (Rota Bulò et al., CVPR 2018), whose scale is
`|weight| + eps`. Brought to that, its numbers are those of plain batch normalisation; its leaky ReLU is in the network.
"""

import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dag.errors import UserError
from dag.files import whole_file
from dag.parsing.ce2p import Ce2p

EPS = 1e-5


def save_parsing_weights(network: Ce2p, path: str | Path) -> None:
    """Write safetensors, whole or not at all."""
    with whole_file(path) as partial:
        save_file({name: value.cpu().contiguous() for name, value in network.state_dict().items()}, partial)


def load_parsing_weights(network: Ce2p, path: str | Path) -> None:
    """Load every entry of a file: safetensors are ours, `.pth` is SCHP's. Nothing that a file brings along is run.

    Raises:
        UserError: a missing or unsafe file, or one of another network: what is missing, extra or of another shape.
    """
    path = Path(path)
    tensors = _read(path)
    if path.suffix != ".safetensors":
        tensors = _without_inplace_abn(tensors, network)
    expected = network.state_dict()
    lists = {
        "missing": [name for name in expected if name not in tensors and not name.endswith("num_batches_tracked")],
        "extra": [name for name in tensors if name not in expected],
        "of another shape": [
            f"{name} {tuple(value.shape)}, not {tuple(expected[name].shape)}"
            for name, value in tensors.items()
            if name in expected and expected[name].shape != value.shape
        ],
    }
    if any(lists.values()):
        got = "; ".join(f"{len(names)} {what} ({', '.join(names[:3])})" for what, names in lists.items() if names)
        raise UserError("weights of another network", where=path, got=got, do="check backbone and labels")
    network.load_state_dict(tensors, strict=False)


def _without_inplace_abn(tensors: dict[str, Tensor], network: Ce2p) -> dict[str, Tensor]:
    norms = {f"{name}.weight" for name, part in network.named_modules() if isinstance(part, nn.BatchNorm2d)}
    return {name: value.abs() + EPS if name in norms else value for name, value in tensors.items()}


def _read(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch remarks on old pickles; what matters is in the errors below
            content: Any = (
                load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
            )
    except OSError as error:
        raise UserError("no such file", where=path, got=error, do="check the path of the weights") from None
    except pickle.UnpicklingError:
        raise UserError("refused: not plain tensors", where=path, expected="a state dict") from None
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError):
        raise UserError("not a file of weights", where=path, expected="safetensors or a PyTorch checkpoint") from None
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError("refused: not plain tensors", where=path, expected="a state dict", got=type(content).__name__)
    return {name.removeprefix("module."): value for name, value in content.items()}
