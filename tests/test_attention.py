"""dag.attention against literal implementations of Eq. 1 and 2 of the paper."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dag.attention import (
    AdaptiveDiscriminativeAttention,
    ChannelAttention,
    SpatialAttention,
    center_features,
    draw_center_offsets,
)
from dag.errors import UserError
from dag.geometry import apply_affine, crop_from_box, input_from_image

SHAPES = [(2, 3, 5, 7), (1, 8, 9, 4), (3, 5, 1, 6), (2, 4, 8, 6)]


def random_weights(module: nn.Module, seed: int = 0) -> nn.Module:
    """Assign weights large enough that the softmax is far from uniform."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.5
    return module


def features_of(shape: tuple[int, ...], seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def assert_equal_with_gradients(literal: Tensor, fast: Tensor, features: Tensor, module: nn.Module) -> None:
    torch.testing.assert_close(fast, literal, rtol=1e-5, atol=1e-5)
    grad_outputs = torch.randn(fast.shape, generator=torch.Generator().manual_seed(2))
    inputs = [features, *module.parameters()]
    gradients = torch.autograd.grad(fast, inputs, grad_outputs)
    for gradient, expected in zip(gradients, torch.autograd.grad(literal, inputs, grad_outputs)):
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-4)


def literal_channel(module: ChannelAttention, features: Tensor) -> Tensor:
    weight, bias = module.linear.weight, module.linear.bias
    batch, channels, height, width = features.shape
    rows = []
    for b in range(batch):
        center = [features[b, i, height // 2, width // 2] for i in range(channels)]
        weights = [sum(weight[c, i] * center[i] for i in range(channels)) + bias[c] for c in range(channels)]
        rows.append(torch.stack([features[b, c] * weights[c] for c in range(channels)]))
    return torch.stack(rows)


def literal_spatial(module: SpatialAttention, features: Tensor) -> Tensor:
    """V softmax(K^T Q)^T, one position at a time."""
    results = []
    for crop in features:
        query, key, value = (layer(crop[None])[0].flatten(1) for layer in (module.query, module.key, module.value))
        positions = query.shape[1]
        columns = []
        for n in range(positions):
            similarity = torch.stack([key[:, n] @ query[:, m] for m in range(positions)])
            weights = similarity.exp() / similarity.exp().sum()
            columns.append(sum(weights[m] * value[:, m] for m in range(positions)))
        results.append(torch.stack(columns, 1).reshape(crop.shape))
    return torch.stack(results)


@pytest.mark.parametrize("shape", SHAPES)
def test_channel_attention_is_equation_1(shape):
    module, features = random_weights(ChannelAttention(shape[1])), features_of(shape)
    assert_equal_with_gradients(literal_channel(module, features), module(features), features, module)


@pytest.mark.parametrize("shape", SHAPES)
def test_spatial_attention_is_equation_2(shape):
    module, features = random_weights(SpatialAttention(shape[1])), features_of(shape)
    assert_equal_with_gradients(literal_spatial(module, features), module(features), features, module)


def test_spatial_attention_saves_no_n_by_n_matrix_for_the_backward_pass():
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (sizes.append(t.numel()), t)[1], lambda t: t):
        SpatialAttention(8)(features_of((1, 8, 32, 24)))
    assert max(sizes) <= 9 * 8 * 32 * 24 < (32 * 24) ** 2


@pytest.mark.parametrize("fusion", ["parallel", "series"])
@pytest.mark.parametrize("residual", [False, True])
def test_adam_fuses_both(fusion, residual):
    module, features = (
        random_weights(AdaptiveDiscriminativeAttention(3, fusion=fusion, residual=residual)),
        features_of((2, 3, 5, 7)),
    )
    channel_weighted = literal_channel(module.channel, features)
    if fusion == "series":
        combined = literal_spatial(module.spatial, channel_weighted)
    else:
        combined = torch.cat([channel_weighted, literal_spatial(module.spatial, features)], 1)
    weight, bias = module.fuse.weight[:, :, 0, 0], module.fuse.bias
    fused = torch.einsum("oc,bchw->bohw", weight, combined) + bias[:, None, None]
    expected = fused.clamp(min=0) + residual * features
    assert_equal_with_gradients(expected, module(features), features, module)


def test_channel_attention_is_initialised_at_the_identity():
    features = features_of((2, 32, 16, 12))
    torch.testing.assert_close(ChannelAttention(32)(features), features, rtol=0.03, atol=0)


@pytest.mark.parametrize("options", [{}, {"residual": True}, {"residual": True, "fusion": "series"}])
def test_adam_is_initialised_at_the_identity_on_non_negative_features(options):
    features = features_of((2, 32, 16, 12)).relu()
    torch.testing.assert_close(AdaptiveDiscriminativeAttention(32, **options)(features), features, rtol=0.03, atol=0.05)


def test_unknown_fusion():
    with pytest.raises(UserError, match="unknown fusion: expected one of parallel, series, got 'both'"):
        AdaptiveDiscriminativeAttention(3, fusion="both")


@pytest.mark.parametrize(("height", "width"), [(64, 48), (5, 7)])
def test_center_feature_is_at_the_centre_of_the_crop(height, width):
    input_wh = 4 * width, 4 * height
    box = np.array([10.0, 20.0, 30.0, 40.0])
    center_input_xy = apply_affine(input_from_image(*crop_from_box(box, input_wh), input_wh), np.array([25.0, 40.0]))
    x, y = (center_input_xy / 4).astype(int)
    features = torch.zeros(1, 1, height, width)
    features[0, 0, y, x] = 1
    assert center_features(features).item() == 1


def test_offsets_move_the_center_and_are_clamped_to_the_map():
    y, x = torch.meshgrid(torch.arange(4.0), torch.arange(6.0), indexing="ij")
    features = torch.stack([x, y]).expand(4, 2, 4, 6)
    offsets = torch.tensor([[0, 0], [1, -1], [-1, 1], [9, 9]])
    assert center_features(features, offsets).tolist() == [[3, 2], [4, 1], [2, 3], [5, 3]]


def test_offsets_depend_only_on_the_generator():
    draws = [draw_center_offsets(500, 1, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert {tuple(offset) for offset in draws[0].tolist()} == {(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)}
