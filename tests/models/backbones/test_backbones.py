"""Every backbone fulfils its interface; HRNet and SBL equal the official implementations."""

import gzip
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from dag.models.pose import BACKBONES, DagPose, build_model

OFFICIAL = {
    "hrnet_w32": ("pose_hrnet_w32", 28_536_113),
    "hrnet_w48": ("pose_hrnet_w48", 63_595_745),
    "resnet50": ("pose_resnet_50", 33_999_697),
    "resnet101": ("pose_resnet_101", 52_991_825),
    "resnet152": ("pose_resnet_152", 68_635_473),
}


def official_shapes(real_data: Path, name: str) -> dict[str, list[int]]:
    return json.loads(gzip.decompress((real_data / "golden/official_state_dicts.json.gz").read_bytes()))[name]


def golden_weights(name: str, shape: list[int]) -> torch.Tensor:
    """Weights by the rule in golden/README.md."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if name.endswith("running_var"):
        value = random.uniform(0.5, 1.5, shape)
    elif name.endswith(("running_mean", "bias")):
        value = 0.1 * random.standard_normal(shape)
    elif len(shape) == 4:
        value = random.standard_normal(shape) * np.sqrt(0.4 / np.prod(shape[1:]))
    else:
        value = 1 + 0.1 * random.standard_normal(shape)
    return torch.from_numpy(value.astype(np.float32))


def official_names(model: DagPose) -> dict[str, torch.Tensor]:
    return {name.partition(".")[2]: value for name, value in model.state_dict().items()}


@pytest.mark.parametrize("name", BACKBONES)
def test_features_have_the_declared_size(name):
    backbone = BACKBONES[name]().eval()
    with torch.inference_mode():
        features = backbone(torch.zeros(2, 3, 2 * backbone.multiple, backbone.multiple))
    size = (2 * backbone.multiple // backbone.stride, backbone.multiple // backbone.stride)
    assert features.shape == (2, backbone.channels, *size)


@pytest.mark.parametrize("name", OFFICIAL)
def test_parameters_equal_the_official_ones(name, real_data):
    official, parameters = OFFICIAL[name]
    model = build_model(name)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    shapes = {name: list(value.shape) for name, value in official_names(model).items()}
    assert shapes == official_shapes(real_data, official)


@pytest.mark.parametrize("name", ["hrnet_w32", "resnet50"])
def test_heatmaps_equal_the_official_ones(name, real_data):
    official = OFFICIAL[name][0]
    expected = np.load(real_data / "golden/official_forward.npz")[official]
    model = build_model(name).eval()
    for own, value in official_names(model).items():
        value.copy_(golden_weights(own, list(value.shape)))
    images = np.random.default_rng(0).standard_normal((2, 3, 256, 192)).astype(np.float32)
    with torch.inference_mode():
        heatmaps = model(torch.from_numpy(images)).heatmaps.numpy()
    assert np.abs(heatmaps - expected).max() <= 1e-5 * np.abs(expected).max()
