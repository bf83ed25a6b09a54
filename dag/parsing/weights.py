"""Saving and loading of CE2P weights: our own files and the published SCHP checkpoints.

SCHP's networks (Li et al., TPAMI 2020) were trained with InPlaceABN (Rota Bulò et al., CVPR 2018), whose scale is
`|weight| + eps`. With this scale, plain batch normalisation is equivalent; the leaky ReLU is part of the network.
"""

from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor, nn

from dag.errors import UserError
from dag.files import whole_file
from dag.models.checkpoints import read_tensors
from dag.parsing.ce2p import Ce2p

EPS = 1e-5


def save_parsing_weights(network: Ce2p, path: str | Path) -> None:
    """Write the weights as safetensors, atomically."""
    with whole_file(path) as partial:
        save_file({name: value.cpu().contiguous() for name, value in network.state_dict().items()}, partial)


def load_parsing_weights(network: Ce2p, path: str | Path) -> None:
    """Load all weights of a file: safetensors of this project, or SCHP's `.pth`. No code in a file is executed.

    Raises:
        UserError: the file is missing or unsafe, or belongs to another network; differences in entries and shapes are
            listed.
    """
    path = Path(path)
    tensors = read_tensors(path)
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
    """Weights of plain batch normalisation that are equivalent to those of InPlaceABN."""
    norms = {f"{name}.weight" for name, layer in network.named_modules() if isinstance(layer, nn.BatchNorm2d)}
    return {name: value.abs() + EPS if name in norms else value for name, value in tensors.items()}
