"""The folder of a trained parser: its weights and the description by which `load_parser` finds them."""

import hashlib
from pathlib import Path

from ruamel.yaml import YAML

from dag.files import whole_file
from dag.image import MEAN, STD
from dag.parsing.ce2p import Ce2p
from dag.parsing.weights import save_parsing_weights
from dag.parsing.load import DESCRIPTION

WEIGHTS = "model.safetensors"


def save_parser(folder: Path, network: Ce2p, labels: tuple[str, ...], *, backbone: str, side: int) -> None:
    """Write `model.safetensors` and `parser.yaml` into a folder.

    Args:
        labels: of the network, the background first.
        backbone: key of `dag.parsing.ce2p.BACKBONES`.
        side: pixels of the square crops that it was trained on.
    """
    save_parsing_weights(network, folder / WEIGHTS)
    rule = {
        "long_side": side, "multiple": 1, "plus": 0, "square": True, "order": "rgb",
        "mean": [255 * value for value in MEAN], "std": [255 * value for value in STD],
    }  # fmt: skip
    content = {
        "kind": "ce2p",
        "file": WEIGHTS,
        "sha256": hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest(),
        "backbone": backbone,
        "input": rule,
        "labels": list(labels[1:]),
    }
    with whole_file(folder / DESCRIPTION) as partial, partial.open("w") as file:
        YAML(typ="safe", pure=True).dump(content, file)
