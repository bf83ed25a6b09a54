"""The losses against their definitions, computed joint by joint."""

import pytest
import torch

from dag.models.heads.heatmap import heatmap_loss
from dag.training.loss import coordinate_loss, multi_person_loss


def case() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(3, 5, 8, 6, generator=generator).requires_grad_(), torch.rand(3, 5, 8, 6, generator=generator)


def test_heatmap_loss_equals_hrnets():
    heatmaps, targets = case()
    labelled = torch.rand(3, 5) > 0.3
    expected = 0.0
    for joint in range(5):
        weight = labelled[:, joint, None, None].float()
        expected += 0.5 * torch.nn.functional.mse_loss(heatmaps[:, joint] * weight, targets[:, joint] * weight) / 5
    torch.testing.assert_close(heatmap_loss(heatmaps, targets, labelled), expected)


def test_unlabelled_joints_have_no_gradient():
    heatmaps, targets = case()
    labelled = torch.ones(3, 5, dtype=torch.bool)
    labelled[1, 2] = False
    heatmap_loss(heatmaps, targets, labelled).backward()
    assert heatmaps.grad[1, 2].abs().sum() == 0
    assert (heatmaps.grad.flatten(2).abs().sum(2) > 0).sum() == 14


def test_multi_person_loss_without_a_mask_equals_the_heatmap_loss():
    heatmaps, targets = case()
    expected = heatmap_loss(heatmaps, targets, torch.ones(3, 5, dtype=torch.bool))
    torch.testing.assert_close(multi_person_loss(heatmaps, targets, torch.zeros(3, 8, 6)), expected)


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32])
def test_multi_person_loss_has_no_gradient_under_the_mask(dtype):
    heatmaps, targets = case()
    ignore = torch.zeros(3, 8, 6, dtype=dtype)
    ignore[0, :4] = 1
    multi_person_loss(heatmaps, targets, ignore).backward()
    assert heatmaps.grad[0, :, :4].abs().sum() == 0
    assert (heatmaps.grad[0, :, 4:] != 0).all()
    assert (heatmaps.grad[1:] != 0).all()


def test_coordinate_loss_is_the_mean_absolute_error():
    gt_xy = torch.zeros(1, 3, 2)
    xy = torch.tensor([[[1.0, -3.0], [2.0, 2.0], [100.0, 100.0]]])
    assert coordinate_loss(xy, gt_xy, torch.tensor([[True, True, False]])).item() == 2


def test_coordinate_loss_without_labelled_joints_is_zero():
    xy = torch.ones(2, 3, 2, requires_grad=True)
    loss = coordinate_loss(xy, torch.zeros(2, 3, 2), torch.zeros(2, 3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert xy.grad.abs().sum() == 0


def test_losses_are_float32():
    heatmaps, targets = case()
    labelled = torch.ones(3, 5, dtype=torch.bool)
    assert heatmap_loss(heatmaps.bfloat16(), targets, labelled).dtype == torch.float32
    assert multi_person_loss(heatmaps.bfloat16(), targets, torch.zeros(3, 8, 6)).dtype == torch.float32
