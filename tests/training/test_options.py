"""Training options against their definitions: weight averaging, accumulation, clipping, precision, early stopping."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from dag.cache.batches import PersonCrops
from dag.models.pose import build_model
from dag.models.weights import load_model
from dag.training.data import PoseData
from dag.training.module import PoseTraining
from dag.training.train import train_pose
from tests.conftest import Rendered
from tests.training_run import AUGMENT

Weights = dict[str, torch.Tensor]


def small_module(frozen: bool = False) -> PoseTraining:
    """A network without attention and graph: every loss is a mean over persons. `frozen`: batch normalisation."""
    torch.manual_seed(3)
    module = PoseTraining(
        build_model("hrnet_tiny"), input_wh=(96, 128), multi_person=1.0, target=1.0, graph=0.1, brightness=0.1,
        contrast=0.1, color=0.1, learning_rate=0.002, warmup_steps=0, milestones=[], seed=1,
    )  # fmt: skip
    for layer in module.modules() if frozen else ():
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            layer.eval()
    return module


def train(
    rendered: Rendered,
    state: Path,
    batch_size: int = 8,
    module: PoseTraining | None = None,
    validate: Callable[[Any], dict[str, float]] = lambda model: {},
    workers: int = 0,
    **options: Any,
) -> PoseTraining:
    module = module or small_module()
    crops = PersonCrops(rendered.cache, occluded=0.5, seed=1, mask_joints=0.5, **AUGMENT)
    options = {"epochs": 1, "validate_every": 1, "device": "cpu", **options}
    train_pose(module, PoseData(crops, batch_size, seed=1, workers=workers), validate=validate, state=state, **options)
    return module


def weights_of(module: torch.nn.Module) -> Weights:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def gradient(state: Path) -> torch.Tensor:
    """Gradient of the only step: Adam's first moment is a tenth of it."""
    moments = torch.load(state / "last.ckpt", weights_only=True)["optimizer_states"][0]["state"]
    return 10 * torch.cat([value["exp_avg"].flatten() for value in moments.values()])


@contextmanager
def after_every_step(action: Callable[[], None]) -> Iterator[None]:
    def hook(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        action()

    handle = register_optimizer_step_post_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def test_the_weight_average_is_validated_and_saved(rendered: Rendered, tmp_path: Path) -> None:
    module, steps, validated, decay = small_module(), [], [], 0.7

    def validate(model: torch.nn.Module) -> dict[str, float]:
        validated.append(weights_of(model))
        return {"AP": 0.5}

    with after_every_step(lambda: steps.append(weights_of(module.model))):
        train(rendered, tmp_path, module=module, validate=validate, ema=decay, epochs=2, validate_every=2)
    assert len(steps) == 6
    expected = {name: value for name, value in steps[0].items() if value.is_floating_point()}
    for step in steps[1:]:
        expected = {name: decay * value + (1 - decay) * step[name] for name, value in expected.items()}
    (average,) = validated
    last, best = (load_model(tmp_path / name)[0].state_dict() for name in ("last", "best"))
    for name, value in expected.items():
        torch.testing.assert_close(average[name], value, rtol=1e-4, atol=1e-6)
        assert torch.equal(average[name], last[name])
        assert torch.equal(average[name], best[name])
    distance = [sum((average[n] - other[n]).norm() for n in expected) for other in (expected, steps[-1])]
    assert distance[0] < 0.01 * distance[1], "the average differs from the last step's weights"


@pytest.mark.filterwarnings("ignore:Found .* in eval mode")
def test_two_accumulated_batches_equal_one_of_twice_the_size(rendered: Rendered, tmp_path: Path) -> None:
    size = len(PersonCrops(rendered.cache, occluded=0.5, seed=1, **AUGMENT)) // 4 * 2
    train(rendered, tmp_path / "one", 2 * size, small_module(frozen=True))
    train(rendered, tmp_path / "two", size, small_module(frozen=True), accumulate=2)
    one, two = gradient(tmp_path / "one"), gradient(tmp_path / "two")
    assert (one - two).norm() < 1e-4 * one.norm()


def test_warmup_counts_optimiser_steps(rendered: Rendered, tmp_path: Path) -> None:
    module, rates = small_module(), []
    module.warmup_steps = 3

    def record() -> None:
        rates.append(module.optimizers().param_groups[0]["lr"])  # type: ignore[union-attr]

    with after_every_step(record):
        train(rendered, tmp_path, batch_size=4, module=module, accumulate=2, epochs=2)
    assert rates == pytest.approx([0.0005, 0.001, 0.0015, 0.002, *[0.002] * (len(rates) - 4)])
    assert len(rates) in (6, 8)


def test_the_total_gradient_norm_is_clipped(rendered: Rendered, tmp_path: Path) -> None:
    size = len(PersonCrops(rendered.cache, occluded=0.5, seed=1, **AUGMENT))
    train(rendered, tmp_path / "free", size)
    train(rendered, tmp_path / "clipped", size, max_grad_norm=0.01)
    free, clipped = gradient(tmp_path / "free"), gradient(tmp_path / "clipped")
    assert free.norm() > 0.02
    assert clipped.norm().item() == pytest.approx(0.01, rel=1e-3)
    assert torch.nn.functional.cosine_similarity(free, clipped, dim=0) > 0.9999


def test_bf16_gradients_are_close_to_fp32(rendered: Rendered, tmp_path: Path) -> None:
    size = len(PersonCrops(rendered.cache, occluded=0.5, seed=1, **AUGMENT))
    for precision in ("fp32", "bf16"):
        module = train(rendered, tmp_path / precision, size, precision=precision)
        assert {value.dtype for value in module.parameters()} == {torch.float32}
    exact, approximate = gradient(tmp_path / "fp32"), gradient(tmp_path / "bf16")
    assert not torch.equal(exact, approximate)
    assert torch.nn.functional.cosine_similarity(exact, approximate, dim=0) > 0.98
    assert approximate.norm().item() == pytest.approx(exact.norm().item(), rel=0.05)


def test_the_best_model_is_saved_and_early_stopping_ends_the_run(rendered: Rendered, tmp_path: Path) -> None:
    graph_ap, validated = iter([0.1, 0.4, 0.3, 0.2, 0.5]), []

    def validate(model: torch.nn.Module) -> dict[str, float]:
        validated.append(weights_of(model))
        return {"heatmap_AP": 0.9 - 0.1 * len(validated), "graph_AP": next(graph_ap)}

    train(rendered, tmp_path, validate=validate, epochs=9, early_stop=2)
    assert len(validated) == 4, "two validations without improvement after the second"
    saved = {name: load_model(tmp_path / name)[0].state_dict() for name in ("best", "last")}
    for name in validated[0]:
        assert torch.equal(saved["best"][name], validated[1][name])
        assert torch.equal(saved["last"][name], validated[3][name])
    train(rendered, tmp_path, validate=validate, epochs=9, early_stop=2)
    assert len(validated) == 4, "a rerun of a stopped run does not train further"


def test_loader_processes_change_nothing(rendered: Rendered, tmp_path: Path) -> None:
    without, with_loaders = (train(rendered, tmp_path / str(workers), workers=workers, epochs=2) for workers in (0, 2))
    for name, value in without.state_dict().items():
        assert torch.equal(value, with_loaders.state_dict()[name]), name


def test_a_run_without_metrics_saves_only_the_last_model(rendered: Rendered, tmp_path: Path) -> None:
    train(rendered, tmp_path)
    assert (tmp_path / "last").is_dir()
    assert not (tmp_path / "best").exists()


def test_progress_lines_and_speed_table(rendered: Rendered, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    train(rendered, tmp_path, epochs=2)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 2, "the first epoch and the last; none within ten seconds"
    assert lines[0].startswith("epoch 1 of 2: loss 0.")
    assert "images/s, data wait " in lines[0]
    assert lines[1].endswith("0:00:00 left")
    rows = [line.split("\t") for line in (tmp_path / "speed.tsv").read_text().splitlines()]
    assert rows[0] == ["epoch", "images_per_second", "data_wait"]
    assert [row[0] for row in rows[1:]] == ["0", "1"]
    assert all(float(row[1]) > 1 and 0 <= float(row[2]) <= 1 for row in rows[1:])
