"""The heatmap head: initialisation, and flipping of encoded keypoints."""

import pytest
import torch

from dag.models.heads.codecs import CODECS
from dag.models.heads.heatmap import HeatmapHead
from tests.models.heads.test_codecs import INPUT_HW, SIZE_HW, all_labelled, random_keypoints


def test_weights_are_initialised_as_in_hrnet() -> None:
    head = HeatmapHead(256, 17)
    assert head.final_layer.weight.std().item() == pytest.approx(0.001, rel=0.1)
    assert head.final_layer.bias is not None
    assert head.final_layer.bias.abs().max() == 0


def test_udp_decodes_its_own_targets() -> None:
    head, xy = HeatmapHead(1, 17, codec="udp"), random_keypoints(32, 24, INPUT_HW)
    predicted, _ = head.decode(head.targets(xy, all_labelled(xy), SIZE_HW, INPUT_HW), INPUT_HW)
    assert (predicted - xy[:, 0]).norm(dim=-1).mean() < 1e-2


@pytest.mark.parametrize("name", CODECS)
def test_targets_of_a_flipped_crop_are_flipped_back(name: str) -> None:
    """Targets of a crop and of its mirror image agree after the second ones are flipped back."""
    head, xy = HeatmapHead(1, 17, codec=name), random_keypoints(4, 60, INPUT_HW)
    target = head.targets(xy, all_labelled(xy), SIZE_HW, INPUT_HW)
    flipped_xy = torch.stack([INPUT_HW[1] - 1 - xy[..., 0], xy[..., 1]], -1)
    flipped = head.mirror(head.targets(flipped_xy, all_labelled(xy), SIZE_HW, INPUT_HW), torch.arange(17))
    predicted, _ = head.decode((target + flipped) / 2, INPUT_HW)
    # Without alignment, the shift by one heatmap pixel is a quarter pixel (one input pixel) too large.
    limit = {"msra": 2.2, "dark": 0.6, "udp": 0.05}.get(name, 2.2)
    assert (predicted - xy[:, 0]).norm(dim=-1).mean() < limit
    twice = head.mirror(head.mirror(target, torch.arange(17)), torch.arange(17))
    assert torch.equal(twice[..., 2:-2], target[..., 2:-2])
