"""CE2P's layers are those of SCHP, InPlaceABN weights are converted, and no code in a file is executed."""

import pickle
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from dag.errors import UserError
from dag.parsing.ce2p import ActivatedNorm, Ce2p
from dag.parsing.weights import load_parsing_weights, save_parsing_weights


def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}


def convolved(name: str, inputs: int, outputs: int, size: int = 1) -> dict[str, tuple[int, ...]]:
    """A convolution without bias and its normalisation, at indices 0 and 1 of a sequence."""
    return {f"{name}.0.weight": (outputs, inputs, size, size), **norm(f"{name}.1", outputs)}


def schp_names(labels: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the published networks (GoGoDuck912/Self-Correction-Human-Parsing, AugmentCE2P.py)."""
    names: dict[str, tuple[int, ...]] = {}
    for number, (inputs, outputs) in enumerate(((3, 64), (64, 64), (64, 128)), 1):
        names |= {f"conv{number}.weight": (outputs, inputs, 3, 3), **norm(f"bn{number}", outputs)}
    inputs = 128
    for stage, (planes, blocks) in enumerate(((64, 3), (128, 4), (256, 23), (512, 3)), 1):
        for block in range(blocks):
            prefix = f"layer{stage}.{block}"
            shapes = ((planes, inputs, 1), (planes, planes, 3), (4 * planes, planes, 1))
            for number, (outputs, channels, size) in enumerate(shapes, 1):
                names |= {f"{prefix}.conv{number}.weight": (outputs, channels, size, size)}
                names |= norm(f"{prefix}.bn{number}", outputs)
            if block == 0:
                names |= convolved(f"{prefix}.downsample", inputs, 4 * planes)
            inputs = 4 * planes
    for level in range(4):
        names |= {f"context_encoding.stages.{level}.1.weight": (512, 2048, 1, 1)}
        names |= norm(f"context_encoding.stages.{level}.2", 512)
    names |= convolved("context_encoding.bottleneck", 2048 + 4 * 512, 512, 3)
    for number, channels in enumerate((256, 512, 1024), 1):
        names |= convolved(f"edge.conv{number}", channels, 256)
    names |= {"edge.conv4.weight": (2, 256, 3, 3), "edge.conv4.bias": (2,)}
    names |= {"edge.conv5.weight": (2, 6, 1, 1), "edge.conv5.bias": (2,)}
    names |= convolved("decoder.conv1", 512, 256) | convolved("decoder.conv2", 256, 48)
    names |= convolved("decoder.conv3", 304, 256)
    names |= {"decoder.conv3.2.weight": (256, 256, 1, 1), **norm("decoder.conv3.3", 256)}
    names |= {"decoder.conv4.weight": (labels, 256, 1, 1), "decoder.conv4.bias": (labels,)}
    names |= convolved("fushion", 1024, 256)
    return names | {"fushion.3.weight": (labels, 256, 1, 1), "fushion.3.bias": (labels,)}


def test_names_and_shapes_are_those_of_the_published_networks() -> None:
    with torch.device("meta"):
        state = Ce2p(20, "resnet101").state_dict()
    shapes = {name: tuple(value.shape) for name, value in state.items() if not name.endswith("num_batches_tracked")}
    assert shapes == schp_names(20)


def test_a_published_checkpoint_loads_completely(tmp_path: Path) -> None:
    state = {f"module.{name}": torch.rand(shape) - 0.5 for name, shape in schp_names(7).items()}
    torch.save({"state_dict": state, "epoch": 149}, tmp_path / "schp.pth")
    network = Ce2p(7, "resnet101")
    load_parsing_weights(network, tmp_path / "schp.pth")
    loaded = network.state_dict()
    assert torch.equal(loaded["conv1.weight"], state["module.conv1.weight"])
    for name in ("bn1", "layer3.22.bn3", "layer1.0.downsample.1", "fushion.1"):
        assert torch.equal(loaded[f"{name}.weight"], state[f"module.{name}.weight"].abs() + 1e-5)
    assert torch.equal(loaded["fushion.1.bias"], state["module.fushion.1.bias"])


def test_inplace_abn_by_hand(tmp_path: Path) -> None:
    """(x - mean) / sqrt(var + eps) * (|weight| + eps) + bias, then a leaky ReLU of slope 0.01."""
    torch.manual_seed(0)
    network = Ce2p(5)
    state = network.state_dict()
    weight, bias, mean, var = torch.randn(32), torch.randn(32), torch.randn(32), torch.rand(32) + 0.1
    weight[:4] = torch.tensor([0.0, -0.0, 1e-5, -1e-5])  # eps is all, or half, of the scale
    entries = {"weight": weight, "bias": bias, "running_mean": mean, "running_var": var}
    torch.save(state | {f"fushion.1.{name}": value for name, value in entries.items()}, tmp_path / "abn.pth")
    load_parsing_weights(network, tmp_path / "abn.pth")
    layer = network.fushion[1].eval()
    assert isinstance(layer, ActivatedNorm)
    x = 1e5 * torch.randn(2, 32, 5, 4)
    columns = [value[None, :, None, None] for value in (weight, bias, mean, var)]
    scaled = (x - columns[2]) / (columns[3] + 1e-5).sqrt() * (columns[0].abs() + 1e-5) + columns[1]
    torch.testing.assert_close(layer(x), F.leaky_relu(scaled, 0.01), rtol=1e-4, atol=1e-5)


def test_own_weights_are_not_converted(tmp_path: Path) -> None:
    network, other = Ce2p(5), Ce2p(5)
    with torch.no_grad():
        network.bn1.weight.neg_()
    save_parsing_weights(network, tmp_path / "own.safetensors")
    load_parsing_weights(other, tmp_path / "own.safetensors")
    assert torch.equal(other.bn1.weight, network.bn1.weight)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_parsing_weights(Ce2p(5), tmp_path / "five.safetensors")
    with pytest.raises(UserError, match=r"got 4 of another shape \(decoder.conv4.bias \(5,\), not \(6,\)"):
        load_parsing_weights(Ce2p(6), tmp_path / "five.safetensors")
    torch.save({"surplus.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(
        UserError, match=r"missing \(conv1.weight, .*; 1 extra \(surplus.weight\).*; check backbone and labels"
    ):
        load_parsing_weights(Ce2p(5), tmp_path / "other.pth")


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return Path.mkdir, (tmp_path / "owned",)

    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"conv1.weight": Evil()}))
    with pytest.raises(UserError, match=r"evil.pth: (refused: not plain tensors|not a checkpoint)"):
        load_parsing_weights(Ce2p(5), tmp_path / "evil.pth")
    assert not (tmp_path / "owned").exists()
