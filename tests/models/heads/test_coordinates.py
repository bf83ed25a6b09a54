"""Coordinates with a gradient against sub-pixel ground truth."""

import pytest
import torch

from dag.models.heads.coordinates import local_integration, soft_argmax
from dag.models.heads.heatmap import HeatmapHead


def perfect(xy: torch.Tensor, size_hw: tuple[int, int], sigma: float) -> torch.Tensor:
    """Gaussians with sub-pixel centres."""
    y = torch.exp(-((torch.arange(size_hw[0]) - xy[..., 1:]) ** 2) / (2 * sigma**2))
    x = torch.exp(-((torch.arange(size_hw[1]) - xy[..., :1]) ** 2) / (2 * sigma**2))
    return y[..., :, None] * x[..., None, :]


def gt(count: int, margin: float, size_hw: tuple[int, int]) -> torch.Tensor:
    share = torch.rand(count, 17, 2, generator=torch.Generator().manual_seed(0))
    return margin + share * (torch.tensor([size_hw[1], size_hw[0]]) - 1 - 2 * margin)


@pytest.mark.parametrize("sigma", [2, 3])
def test_local_integration_finds_sub_pixel_truth(sigma):
    xy = gt(16, 6, (64, 48))
    found, peak = local_integration(perfect(xy, (64, 48), sigma))
    assert (found - xy).norm(dim=-1).mean() < 0.02
    assert peak.min() > 0.9


def test_soft_argmax_finds_sub_pixel_truth():
    xy = gt(16, 6, (64, 48))
    found, _ = soft_argmax(perfect(xy, (64, 48), 2))
    assert (found - xy).norm(dim=-1).mean() < 0.06


def test_plain_softmax_would_not():
    xy = gt(16, 6, (64, 48))
    found, _ = soft_argmax(perfect(xy, (64, 48), 2), beta=1.0)
    assert (found - xy).norm(dim=-1).mean() > 10


def test_local_integration_looks_at_one_person_only():
    two = perfect(torch.tensor([[[12.3, 20.0]]]), (64, 48), 2) + 0.8 * perfect(
        torch.tensor([[[35.0, 40.0]]]), (64, 48), 2
    )
    assert (local_integration(two)[0] - torch.tensor([12.3, 20.0])).abs().max() < 0.02


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_flat_heatmaps_give_a_place_and_a_finite_gradient(value):
    heatmaps = torch.full((1, 1, 8, 6), value, requires_grad=True)
    xy, _ = local_integration(heatmaps)
    xy.sum().backward()
    assert xy.isfinite().all()
    assert heatmaps.grad.isfinite().all()


@pytest.mark.parametrize("decode", [local_integration, soft_argmax])
def test_coordinates_are_float32_whatever_the_heatmaps(decode):
    heatmaps = perfect(torch.tensor([[[12.3, 20.0]]]), (64, 48), 2)
    xy, peak = decode(heatmaps.bfloat16())
    assert xy.dtype == peak.dtype == torch.float32
    assert (xy - torch.tensor([12.3, 20.0])).abs().max() < 0.1


@pytest.mark.parametrize("decode", [local_integration, soft_argmax])
def test_a_gradient_step_moves_the_coordinates(decode):
    heatmaps = perfect(torch.tensor([[[12.3, 20.0]]]), (32, 24), 2).requires_grad_()
    before = decode(heatmaps)[0][0, 0, 0]
    before.backward()
    after = decode((heatmaps + 0.1 * heatmaps.grad).detach())[0][0, 0, 0]
    assert after > before


def test_head_starts_as_hrnets():
    head = HeatmapHead(256, 17)
    assert head.final_layer.weight.std().item() == pytest.approx(0.001, rel=0.1)
    assert head.final_layer.bias.abs().max() == 0
