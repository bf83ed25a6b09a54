"""Every head fulfils the interface that models, training and inference rely on."""

from typing import Any

import pytest
import torch

from dag.models.export import export_onnx
from dag.models.pose import HEADS, build_model
from dag.models.weights import load_model, save_model
from dag.skeleton import COCO17

INPUT_HW, STRIDE = (64, 48), 4
FLIP_INDEX = torch.from_numpy(COCO17.flip_index)


@pytest.fixture(params=HEADS)
def head(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    return HEADS[request.param](8, 17, input_hw=INPUT_HW, stride=STRIDE, codec="msra", sigma=2.0)


@pytest.fixture
def features() -> torch.Tensor:
    size = (INPUT_HW[0] // STRIDE, INPUT_HW[1] // STRIDE)
    return torch.randn(2, 8, *size, generator=torch.Generator().manual_seed(1)).requires_grad_()


def keypoints() -> torch.Tensor:
    fraction = torch.rand(2, 17, 2, generator=torch.Generator().manual_seed(2))
    return 8 + fraction * torch.tensor([INPUT_HW[1] - 17.0, INPUT_HW[0] - 17.0])


def test_attributes(head: Any, features: torch.Tensor) -> None:
    assert head.joints == 17
    assert isinstance(head.output, str)
    assert head.description
    assert head.has_heatmaps == (head(features).ndim == 4)
    stride = head.input_per_feature(features.shape[-2:], INPUT_HW)
    assert ((stride - STRIDE).abs() < 0.5).all()


def test_decoding_gives_keypoints_in_the_input_and_scores(head: Any, features: torch.Tensor) -> None:
    xy, score = head.decode(head(features), INPUT_HW)
    assert xy.shape == (2, 17, 2)
    assert score.shape == (2, 17)
    assert (xy >= 0).all()
    assert (xy < torch.tensor([INPUT_HW[1], INPUT_HW[0]])).all()


@pytest.mark.parametrize("soft", [False, True])
def test_differentiable_decoding_has_a_gradient(head: Any, features: torch.Tensor, soft: bool) -> None:
    xy, peak = head.decode_differentiable(head(features), INPUT_HW, soft=soft)
    assert xy.shape == (2, 17, 2)
    assert peak.shape == (2, 17)
    xy.sum().backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert features.grad.abs().sum() > 0


def test_flipping_twice_is_the_identity_inside_the_border(head: Any, features: torch.Tensor) -> None:
    output = head(features)
    twice = head.mirror(head.mirror(output, FLIP_INDEX), FLIP_INDEX)
    assert twice.shape == output.shape
    torch.testing.assert_close(twice[..., 2:-2], output[..., 2:-2])


def test_the_loss_ignores_unlabelled_and_distant_joints(head: Any, features: torch.Tensor) -> None:
    output, xy = head(features), keypoints()
    labelled = torch.zeros(2, 17, dtype=torch.bool)
    assert head.loss(output, xy, labelled, INPUT_HW) == 0
    assert head.loss(output, xy - 500, ~labelled, INPUT_HW) == 0
    labelled[0, 3] = True
    loss = head.loss(output, xy, labelled, INPUT_HW)
    assert loss.shape == ()
    assert loss > 0
    moved = torch.where(labelled[..., None], xy, xy + 3)
    assert head.loss(output, moved, labelled, INPUT_HW) == loss


def test_minimising_the_loss_gives_the_keypoints(head: Any, features: torch.Tensor) -> None:
    output, xy = head(features).detach().requires_grad_(), keypoints()
    optimizer = torch.optim.Adam([output], 0.1)
    labelled = torch.ones(2, 17, dtype=torch.bool)
    for _ in range(300):
        optimizer.zero_grad()
        head.loss(output, xy, labelled, INPUT_HW).backward()
        optimizer.step()
    predicted, _ = head.decode(output.detach(), INPUT_HW)
    assert (predicted - xy).norm(dim=-1).mean() < STRIDE / 2


@pytest.mark.parametrize("name", HEADS)
def test_models_are_trained_saved_and_exported(name: str, tmp_path) -> None:
    torch.manual_seed(0)
    model = build_model("hrnet_tiny", head=name, input_wh=(64, 64), adam=True, graph=True, width=16, blocks=1)
    images = torch.rand(2, 3, 64, 64)
    output = model.train()(images, torch.zeros(2, 2, dtype=torch.long))
    loss = model.head.loss(output.target, torch.rand(2, 17, 2) * 60, torch.ones(2, 17, dtype=torch.bool), (64, 64))
    assert output.refined_xy is not None
    (loss + output.refined_xy.abs().mean()).backward()
    save_model(model, tmp_path / "pose")
    loaded, _ = load_model(tmp_path / "pose")
    assert torch.equal(loaded(images).target, model.eval()(images).target)
    assert export_onnx(tmp_path / "pose", tmp_path / "pose.onnx")["postprocessing"].startswith(model.head.description)
