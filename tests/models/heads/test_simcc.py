"""SimCC against the peers' metrics, and its own way there and back."""

import numpy as np
import pytest
import torch

from dag.models.heads.simcc import SimccHead
from dag.models.pose import build_model
from dag.skeleton import COCO17

INPUT_HW = (256, 192)


@pytest.fixture
def head():
    torch.manual_seed(0)
    return SimccHead(8, 17, input_hw=INPUT_HW)


def certain(head: SimccHead, xy: torch.Tensor) -> torch.Tensor:
    """Logits of a head that knows the ground truth as well as its targets say it."""
    return torch.cat(head.targets(xy)[0], -1).log()


def places(count: int) -> torch.Tensor:
    share = torch.rand(count, 17, 2, generator=torch.Generator().manual_seed(1))
    return 10 + share * torch.tensor([INPUT_HW[1] - 21.0, INPUT_HW[0] - 21.0])


def test_targets_are_mmposes(head, real_data):
    golden = np.load(real_data / "golden/heatmap_encoding.npz")
    (x, y), inside = head.targets(torch.from_numpy(golden["keypoints_input_xy"]))
    asked = inside.numpy() & (golden["labelled"] > 0)
    np.testing.assert_array_equal(asked, golden["simcc_weight"][:, 0] > 0)
    for found, expected in ((x, golden["simcc_x"]), (y, golden["simcc_y"])):
        np.testing.assert_allclose(found.numpy()[asked], expected[:, 0][asked], rtol=1e-6)


def test_decoding_finds_the_truth_to_a_quarter_pixel(head):
    xy = places(4)
    found, score = head.decode(certain(head, xy), INPUT_HW)
    assert (found - xy).abs().max() <= 0.25 + 1e-4
    torch.testing.assert_close(score, torch.full_like(score, 0.9))


@pytest.mark.parametrize("soft", [False, True])
def test_coordinates_with_a_gradient(head, soft):
    logits = (100 * certain(head, places(1))).requires_grad_()
    xy, _ = head.locate(logits, INPUT_HW, soft=soft)
    torch.testing.assert_close(xy, head.decode(logits, INPUT_HW)[0], atol=1e-3, rtol=0)
    head.locate(certain(head, places(1)).requires_grad_(), INPUT_HW, soft=soft)[0].sum().backward()


def test_mirrored_logits_come_back(head):
    flip_index, xy = torch.from_numpy(COCO17.flip_index), places(3)
    there = torch.stack([INPUT_HW[1] - 1 - xy[..., 0], xy[..., 1]], -1)[:, flip_index]
    back = head.mirror(certain(head, there), flip_index)
    assert (head.decode(back, INPUT_HW)[0] - xy).abs().max() <= 0.5


def test_loss_is_least_at_the_truth_and_ignores_the_unlabelled(head):
    xy, labelled = places(2), torch.ones(2, 17, dtype=torch.bool)
    assert head.loss(certain(head, xy), xy, labelled, INPUT_HW).item() == pytest.approx(0, abs=1e-7)
    wrong = certain(head, xy + 3)
    by_hand = 0.0
    for bins in head.bins:
        high, low = 0.9, 0.1 / (bins - 1)
        by_hand += (high - low) * np.log(high / low) / bins
    assert head.loss(wrong, xy, labelled, INPUT_HW).item() == pytest.approx(by_hand, rel=1e-4)
    labelled[0] = False
    assert head.loss(wrong, xy, labelled, INPUT_HW).item() == pytest.approx(by_hand / 2, rel=1e-4)
    assert head.loss(wrong, xy - 500, labelled, INPUT_HW).item() == 0


def test_a_model_with_simcc_and_all_of_dag():
    torch.manual_seed(0)
    model = build_model("hrnet_tiny", head="simcc", input_wh=(96, 128), adam=True, graph=True, width=16, blocks=1)
    output = model.eval()(torch.rand(2, 3, 128, 96))
    assert output.heatmaps is None
    assert output.target.shape == (2, 17, 2 * (96 + 128))
    assert output.multi_person_heatmaps.shape == (2, 17, 32, 24)
    assert output.refined_xy.shape == (2, 17, 2)
    output.refined_xy.sum().backward()
