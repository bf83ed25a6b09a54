"""CE2P in torch, as a parser's network."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from dag.parsing.ce2p import Ce2p
from dag.parsing.weights import load_parsing_weights


class Ce2pNetwork:
    """A file of CE2P weights. Pickles as its name; every process loads it once.

    Args:
        path: safetensors or a PyTorch checkpoint.
        labels: number of labels, the background among them.
        backbone: key of `dag.parsing.ce2p.BACKBONES`.

    Raises:
        UserError: as `load_parsing_weights`.
    """

    def __init__(self, path: Path, labels: int, backbone: str):
        self.path, self.labels, self.backbone = path, labels, backbone
        self.written = path.stat().st_mtime_ns  # a worker that lives long must not keep an old network
        _network(path, labels, backbone, self.written)

    def run(self, batch: Float32[np.ndarray, "n 3 hi wi"]) -> list[Float32[np.ndarray, "n L h w"]]:
        """Scores of the background and the parts."""
        network = _network(self.path, self.labels, self.backbone, self.written)
        with torch.inference_mode():
            return [network(torch.from_numpy(batch)).fused.numpy()]


@lru_cache(maxsize=2)
def _network(path: Path, labels: int, backbone: str, written: int) -> Ce2p:
    network = Ce2p(labels, backbone)
    load_parsing_weights(network, path)
    return network.eval()
