"""Saving of a trained parser as a folder that `load_parser` reads."""

from pathlib import Path

from ruamel.yaml import YAML

from dag.files import sha256, whole_file
from dag.image import MEAN, STD
from dag.parsing.ce2p import Ce2p
from dag.parsing.load import DESCRIPTION
from dag.parsing.weights import save_parsing_weights

WEIGHTS = "model.safetensors"


def save_parser(folder: Path, network: Ce2p, labels: tuple[str, ...], *, backbone: str, side: int) -> None:
    """Write `model.safetensors` and `parser.yaml` into a folder.

    Args:
        folder: output folder.
        network: trained network.
        labels: labels of the network, the background first.
        backbone: key of `dag.parsing.ce2p.BACKBONES`.
        side: side of the square training crops in pixels.
    """
    save_parsing_weights(network, folder / WEIGHTS)
    input_spec = {
        "long_side": side, "multiple": 1, "plus": 0, "square": True, "order": "rgb",
        "mean": [255 * value for value in MEAN], "std": [255 * value for value in STD],
    }  # fmt: skip
    content = {
        "kind": "ce2p",
        "file": WEIGHTS,
        "sha256": sha256(folder / WEIGHTS),
        "backbone": backbone,
        "input": input_spec,
        "labels": list(labels[1:]),
    }
    with whole_file(folder / DESCRIPTION) as partial, partial.open("w") as file:
        YAML(typ="safe", pure=True).dump(content, file)
