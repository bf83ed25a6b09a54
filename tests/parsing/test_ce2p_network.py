"""CE2P networks as parsers: weights are loaded once per file."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dag.errors import UserError
from dag.parsing.ce2p import Ce2p
from dag.parsing.ce2p_network import Ce2pNetwork
from dag.parsing.weights import save_parsing_weights


def test_weights_are_loaded_once_and_again_after_the_file_has_changed(tmp_path: Path) -> None:
    torch.manual_seed(3)
    path, crops = tmp_path / "model.safetensors", np.ones((1, 3, 64, 64), np.float32)
    save_parsing_weights(Ce2p(4), path)
    network = Ce2pNetwork(path, 4, "narrow")
    first = network.run(crops)[0]
    content = path.read_bytes()
    path.unlink()
    assert np.array_equal(network.run(crops)[0], first)
    path.write_bytes(content[:100])
    with pytest.raises(UserError, match=r"not a checkpoint"):
        Ce2pNetwork(path, 4, "narrow")
