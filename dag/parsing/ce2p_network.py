"""CE2P and SCHP networks as a human parser."""

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32

from dag.parsing.description import InputSpec, Labels, OutputSpec, ParserDescription, Sha256, network_file
from dag.parsing.network_parser import NetworkParser
from dag.skeleton import Skeleton

OUTPUT = OutputSpec(parts="fused", person=None, threshold=0.5, samples="corners")


class Ce2pDescription(ParserDescription):
    """Description of a CE2P or SCHP network in PyTorch.

    Attributes:
        file: weights, relative to the description; environment variables are expanded.
        sha256: hash of the file; null accepts any file.
        backbone: key of `dag.parsing.ce2p.BACKBONES`; resnet101 for SCHP.
        labels: names of the parts, without the background, which is channel 0.
    """

    kind: Literal["ce2p"]
    file: str
    sha256: Sha256 | None
    backbone: str
    input: InputSpec
    labels: Labels

    def load(self, path: Path, skeleton: Skeleton) -> NetworkParser:
        file = network_file(self.file, self.sha256, path)
        network = Ce2pNetwork(file, len(self.labels) + 1, self.backbone)
        return NetworkParser(network, self.labels, self.input, OUTPUT, skeleton, path)


class Ce2pNetwork:
    """A CE2P network. It is pickled as the name of its file, which each process loads once.

    Args:
        path: safetensors or a PyTorch checkpoint.
        labels: number of labels including the background.
        backbone: key of `dag.parsing.ce2p.BACKBONES`.

    Raises:
        UserError: as `load_parsing_weights`.
    """

    def __init__(self, path: Path, labels: int, backbone: str):
        self.path, self.labels, self.backbone = path, labels, backbone
        self.modified = path.stat().st_mtime_ns  # part of the cache key: a long-lived worker reloads the file
        _network(path, labels, backbone, self.modified)

    def run(self, batch: Float32[np.ndarray, "n 3 hi wi"]) -> list[Float32[np.ndarray, "n L h w"]]:
        """Scores of the background and the parts."""
        import torch

        network = _network(self.path, self.labels, self.backbone, self.modified)
        with torch.inference_mode():
            return [network(torch.from_numpy(batch)).fused.numpy()]


@lru_cache(maxsize=2)
def _network(path: Path, labels: int, backbone: str, modified: int) -> Any:
    from dag.parsing.ce2p import Ce2p  # slow to import, and other parsers do not need it
    from dag.parsing.weights import load_parsing_weights

    network = Ce2p(labels, backbone)
    load_parsing_weights(network, path)
    return network.eval()
