"""CE2P in torch, as a parser's network."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from dag.data.parsing.ce2p import Ce2p
from dag.data.parsing.checkpoint import load_parsing_weights


class Ce2pNetwork:
    """A file of CE2P weights. Pickles as its name; every process loads it once.

    Args:
        path: safetensors or a PyTorch checkpoint.
        labels: number of labels, the background among them.
        trunk: key of `dag.data.parsing.ce2p.TRUNKS`.

    Raises:
        UserError: as `load_parsing_weights`.
    """

    def __init__(self, path: Path, labels: int, trunk: str):
        self.path, self.labels, self.trunk = path, labels, trunk
        self.written = path.stat().st_mtime_ns  # a worker that lives long must not keep an old network
        _network(path, labels, trunk, self.written)

    def run(self, batch: Float32[np.ndarray, "n 3 hi wi"]) -> list[Float32[np.ndarray, "n L h w"]]:
        """Scores of the background and the parts."""
        network = _network(self.path, self.labels, self.trunk, self.written)
        with torch.inference_mode():
            return [network(torch.from_numpy(batch)).fused.numpy()]


@lru_cache(maxsize=2)
def _network(path: Path, labels: int, trunk: str, written: int) -> Ce2p:
    network = Ce2p(labels, trunk)
    load_parsing_weights(network, path)
    return network.eval()
