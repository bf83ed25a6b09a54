"""Targets and decodings against the peers' figures, and coordinates against sub-pixel truth."""

import numpy as np
import pytest
import torch

from dag.geometry import apply_affine, input_from_image, invert
from dag.heads.coordinates import local_integration, soft_argmax
from dag.heads.heatmap import HeatmapHead, decode_heatmaps, gaussian_targets, reaches_heatmap


def perfect(xy: torch.Tensor, size_hw: tuple[int, int], sigma: float) -> torch.Tensor:
    """Gaussians with sub-pixel centres."""
    y = torch.exp(-((torch.arange(size_hw[0]) - xy[..., 1:]) ** 2) / (2 * sigma**2))
    x = torch.exp(-((torch.arange(size_hw[1]) - xy[..., :1]) ** 2) / (2 * sigma**2))
    return y[..., :, None] * x[..., None, :]


def truth(count: int, margin: float, size_hw: tuple[int, int]) -> torch.Tensor:
    share = torch.rand(count, 17, 2, generator=torch.Generator().manual_seed(0))
    return margin + share * (torch.tensor([size_hw[1], size_hw[0]]) - 1 - 2 * margin)


@pytest.mark.parametrize("sigma", [2, 3])
def test_targets_are_hrnets(sigma, real_data):
    golden = np.load(real_data / "golden/heatmap_encoding.npz")
    xy = torch.from_numpy(golden["keypoints_input_xy"] / 4)[:, None]
    labelled = torch.from_numpy(golden["labelled"] > 0)[:, None]
    targets = gaussian_targets(xy, labelled, (64, 48), float(sigma))
    np.testing.assert_allclose(targets.numpy(), golden[f"msra_sigma{sigma}"], rtol=1e-6, atol=1e-7)
    weight = (reaches_heatmap(xy, (64, 48), float(sigma)) & labelled)[:, 0]
    np.testing.assert_array_equal(weight.numpy(), golden[f"msra_sigma{sigma}_weight"][:, 0] > 0)


def test_targets_of_several_people_are_their_maximum():
    xy = torch.tensor([[[[5.0, 6.0]], [[7.0, 6.0]], [[20.0, 20.0]]]])
    labelled = torch.tensor([[[True], [True], [False]]])
    together = gaussian_targets(xy, labelled, (32, 24), 2.0)
    alone = [gaussian_targets(xy[:, [p]], labelled[:, [p]], (32, 24), 2.0) for p in range(3)]
    assert torch.equal(together, torch.maximum(alone[0], alone[1]))
    assert together[0, 0, 6, 5] == together[0, 0, 6, 7] == 1
    assert alone[2].sum() == 0


def test_lit_pixel_and_target_coincide():
    xy = torch.tensor([[[[13.0, 4.0]]]])
    target = gaussian_targets(xy, torch.ones(1, 1, 1, dtype=torch.bool), (16, 24), 2.0)
    assert (target[0, 0] == 1).nonzero().tolist() == [[4, 13]]


def test_decoding_is_hrnets(real_data):
    golden = np.load(real_data / "golden/heatmap_decoding.npz")
    xy, score = decode_heatmaps(torch.from_numpy(golden["heatmaps"]))
    np.testing.assert_array_equal(score.numpy(), golden["hrnet_score"][..., 0])
    for index in range(len(xy)):
        image_from_heatmap = invert(input_from_image(golden["center"][index], golden["scale"][index] * 200, (48, 64)))
        image_xy = apply_affine(image_from_heatmap, xy[index].double().numpy())
        np.testing.assert_allclose(image_xy, golden["hrnet_image_xy"][index], rtol=1e-4, atol=2e-3)


def test_nowhere_positive_gives_the_corner():
    xy, score = decode_heatmaps(torch.full((1, 2, 8, 6), -0.5))
    assert xy.tolist() == [[[0, 0], [0, 0]]]
    assert score.tolist() == [[-0.5, -0.5]]


def test_decoding_finds_the_truth_to_a_quarter_pixel():
    xy = truth(8, 3, (64, 48))
    found, _ = decode_heatmaps(perfect(xy, (64, 48), 2))
    assert (found - xy).abs().max() <= 0.25 + 1e-3


@pytest.mark.parametrize("sigma", [2, 3])
def test_local_integration_finds_sub_pixel_truth(sigma):
    xy = truth(16, 6, (64, 48))
    found, peak = local_integration(perfect(xy, (64, 48), sigma))
    assert (found - xy).norm(dim=-1).mean() < 0.02
    assert peak.min() > 0.9


def test_soft_argmax_finds_sub_pixel_truth():
    xy = truth(16, 6, (64, 48))
    found, _ = soft_argmax(perfect(xy, (64, 48), 2))
    assert (found - xy).norm(dim=-1).mean() < 0.06


def test_plain_softmax_would_not():
    xy = truth(16, 6, (64, 48))
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
