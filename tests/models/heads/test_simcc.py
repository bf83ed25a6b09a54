"""The SimCC head against reference outputs of mmpose, and its decoding, flipping and loss."""

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


def exact_logits(head: SimccHead, xy: torch.Tensor) -> torch.Tensor:
    """Logits whose softmax is the target."""
    return torch.cat(head.targets(xy)[0], -1).log()


def random_keypoints(count: int) -> torch.Tensor:
    fraction = torch.rand(count, 17, 2, generator=torch.Generator().manual_seed(1))
    return 10 + fraction * torch.tensor([INPUT_HW[1] - 21.0, INPUT_HW[0] - 21.0])


def test_targets_equal_mmpose(head, real_data):
    golden = np.load(real_data / "golden/heatmap_encoding.npz")
    (x, y), inside = head.targets(torch.from_numpy(golden["keypoints_input_xy"]))
    supervised = inside.numpy() & (golden["labelled"] > 0)
    np.testing.assert_array_equal(supervised, golden["simcc_weight"][:, 0] > 0)
    for target, expected in ((x, golden["simcc_x"]), (y, golden["simcc_y"])):
        np.testing.assert_allclose(target.numpy()[supervised], expected[:, 0][supervised], rtol=1e-6)


def test_decoding_is_accurate_to_a_quarter_pixel(head):
    xy = random_keypoints(4)
    predicted, score = head.decode(exact_logits(head, xy), INPUT_HW)
    assert (predicted - xy).abs().max() <= 0.25 + 1e-4
    torch.testing.assert_close(score, torch.full_like(score, 0.9))


@pytest.mark.parametrize("soft", [False, True])
def test_differentiable_decoding(head, soft):
    logits = (100 * exact_logits(head, random_keypoints(1))).requires_grad_()
    xy, _ = head.decode_differentiable(logits, INPUT_HW, soft=soft)
    torch.testing.assert_close(xy, head.decode(logits, INPUT_HW)[0], atol=1e-3, rtol=0)
    logits = exact_logits(head, random_keypoints(1)).requires_grad_()
    head.decode_differentiable(logits, INPUT_HW, soft=soft)[0].sum().backward()


def test_logits_of_a_flipped_crop_are_flipped_back(head):
    flip_index, xy = torch.from_numpy(COCO17.flip_index), random_keypoints(3)
    flipped_xy = torch.stack([INPUT_HW[1] - 1 - xy[..., 0], xy[..., 1]], -1)[:, flip_index]
    flipped_back = head.mirror(exact_logits(head, flipped_xy), flip_index)
    assert (head.decode(flipped_back, INPUT_HW)[0] - xy).abs().max() <= 0.5


def test_loss_is_minimal_at_the_ground_truth_and_ignores_unlabelled_joints(head):
    xy, labelled = random_keypoints(2), torch.ones(2, 17, dtype=torch.bool)
    assert head.loss(exact_logits(head, xy), xy, labelled, INPUT_HW).item() == pytest.approx(0, abs=1e-7)
    wrong = exact_logits(head, xy + 3)
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
