"""Differentiable decoding against sub-pixel ground truth."""

import pytest
import torch

from dag.models.heads.coordinates import local_integration, soft_argmax


def gaussians(xy: torch.Tensor, size_hw: tuple[int, int], sigma: float) -> torch.Tensor:
    """Gaussians with sub-pixel centres."""
    y = torch.exp(-((torch.arange(size_hw[0]) - xy[..., 1:]) ** 2) / (2 * sigma**2))
    x = torch.exp(-((torch.arange(size_hw[1]) - xy[..., :1]) ** 2) / (2 * sigma**2))
    return y[..., :, None] * x[..., None, :]


def random_keypoints(count: int, margin: float, size_hw: tuple[int, int]) -> torch.Tensor:
    fraction = torch.rand(count, 17, 2, generator=torch.Generator().manual_seed(0))
    return margin + fraction * (torch.tensor([size_hw[1], size_hw[0]]) - 1 - 2 * margin)


@pytest.mark.parametrize("sigma", [2, 3])
def test_local_integration_gives_sub_pixel_coordinates(sigma):
    xy = random_keypoints(16, 6, (64, 48))
    decoded, peak = local_integration(gaussians(xy, (64, 48), sigma))
    assert (decoded - xy).norm(dim=-1).mean() < 0.02
    assert peak.min() > 0.9


def test_soft_argmax_gives_sub_pixel_coordinates():
    xy = random_keypoints(16, 6, (64, 48))
    decoded, _ = soft_argmax(gaussians(xy, (64, 48), 2))
    assert (decoded - xy).norm(dim=-1).mean() < 0.06


def test_softmax_without_beta_is_inaccurate():
    xy = random_keypoints(16, 6, (64, 48))
    decoded, _ = soft_argmax(gaussians(xy, (64, 48), 2), beta=1.0)
    assert (decoded - xy).norm(dim=-1).mean() > 10


def test_local_integration_ignores_a_second_peak():
    two = gaussians(torch.tensor([[[12.3, 20.0]]]), (64, 48), 2) + 0.8 * gaussians(
        torch.tensor([[[35.0, 40.0]]]), (64, 48), 2
    )
    assert (local_integration(two)[0] - torch.tensor([12.3, 20.0])).abs().max() < 0.02


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_constant_heatmaps_give_finite_coordinates_and_gradients(value):
    heatmaps = torch.full((1, 1, 8, 6), value, requires_grad=True)
    xy, _ = local_integration(heatmaps)
    xy.sum().backward()
    assert xy.isfinite().all()
    assert heatmaps.grad.isfinite().all()


@pytest.mark.parametrize("decode", [local_integration, soft_argmax])
def test_coordinates_of_bfloat16_heatmaps_are_float32(decode):
    heatmaps = gaussians(torch.tensor([[[12.3, 20.0]]]), (64, 48), 2)
    xy, peak = decode(heatmaps.bfloat16())
    assert xy.dtype == peak.dtype == torch.float32
    assert (xy - torch.tensor([12.3, 20.0])).abs().max() < 0.1


@pytest.mark.parametrize("decode", [local_integration, soft_argmax])
def test_a_gradient_step_moves_the_coordinates(decode):
    heatmaps = gaussians(torch.tensor([[[12.3, 20.0]]]), (32, 24), 2).requires_grad_()
    before = decode(heatmaps)[0][0, 0, 0]
    before.backward()
    after = decode((heatmaps + 0.1 * heatmaps.grad).detach())[0][0, 0, 0]
    assert after > before
