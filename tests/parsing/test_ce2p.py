"""CE2P: shapes, receptive field and gradients."""

import pytest
import torch

from dag.errors import UserError
from dag.parsing.ce2p import BACKBONES, ActivatedNorm, Ce2p


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 64), (65, 49)])
def test_logits_have_a_quarter_of_the_resolution(height: int, width: int) -> None:
    output = Ce2p(5).eval()(torch.zeros(2, 3, height, width))
    quarter = (-(-height // 4), -(-width // 4))
    assert output.parts.shape == output.fused.shape == (2, 5, *quarter)
    assert output.edges.shape == (2, 2, *quarter)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_last_stage_is_dilated(backbone: str) -> None:
    """The output stride is 16 instead of 32."""
    with torch.device("meta"):
        network = Ce2p(5, backbone)
        high = network.layer3(network.layer2(network.layer1(torch.zeros(1, BACKBONES[backbone].stem[2], 32, 32))))
    assert high.shape[-2:] == (8, 8)
    assert {block.conv2.dilation for block in network.layer4} == {(2, 2)}
    assert {block.conv2.stride for block in network.layer4} == {(1, 1)}


def test_every_weight_has_a_gradient() -> None:
    torch.manual_seed(0)
    network = Ce2p(5)
    output = network(torch.randn(2, 3, 64, 64))
    (output.parts.square().sum() + output.fused.square().sum() + output.edges.square().sum()).backward()
    without = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert without == []


def test_fused_prediction_depends_on_the_whole_crop_and_on_the_edges() -> None:
    torch.manual_seed(0)
    network = Ce2p(5).eval()
    images = torch.randn(1, 3, 96, 96, requires_grad=True)
    network(images).fused[0, :, 2, 2].sum().backward()
    assert images.grad is not None
    assert images.grad[0, :, -4:, -4:].abs().sum() > 0, "pooled context reaches the far corner"
    before = network(images)
    with torch.no_grad():
        for weight in network.edge.conv1.parameters():
            weight.zero_()
    after = network(images)
    assert torch.equal(before.parts, after.parts)
    assert not torch.equal(before.fused, after.fused)


def test_norm_is_followed_by_a_leaky_relu() -> None:
    layer = ActivatedNorm(1).eval()
    activated = layer(torch.tensor([-2.0, 3.0]).reshape(2, 1, 1, 1)).flatten()
    torch.testing.assert_close(activated, torch.tensor([-0.02, 3.0]), rtol=1e-4, atol=1e-6)


def test_an_unknown_backbone_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"unknown backbone: expected one of narrow, resnet50, resnet101, got 'wide'"):
        Ce2p(5, "wide")
