"""Options of training against what they mean, by hand: average of weights, accumulation, clipping, precision, ends."""

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
from tests.training_run import LIVELY

Weights = dict[str, torch.Tensor]


def small_module(frozen: bool = False) -> PoseTraining:
    """A plain network: every loss is a mean over people. `frozen`: batch normalisation, which sees whole batches."""
    torch.manual_seed(3)
    module = PoseTraining(
        build_model("hrnet_tiny"), input_wh=(96, 128), multi_person=1.0, target=1.0, graph=0.1, brightness=0.1,
        contrast=0.1, colour=0.1, learning_rate=0.002, warmup_steps=0, milestones=[], seed=1,
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
    metrics: Callable[[Any], dict[str, float]] = lambda model: {},
    workers: int = 0,
    **options: Any,
) -> PoseTraining:
    module = module or small_module()
    crops = PersonCrops(rendered.cache, occluded=0.5, seed=1, mask_joints=0.5, **LIVELY)
    options = {"epochs": 1, "validate_every": 1, "device": "cpu", **options}
    train_pose(module, PoseData(crops, batch_size, seed=1, workers=workers), metrics=metrics, state=state, **options)
    return module


def weights_of(module: torch.nn.Module) -> Weights:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def gradient(state: Path) -> torch.Tensor:
    """Of the only step: Adam's first moment is a tenth of it."""
    kept = torch.load(state / "last.ckpt", weights_only=True)["optimizer_states"][0]["state"]
    return 10 * torch.cat([value["exp_avg"].flatten() for value in kept.values()])


@contextmanager
def every_step(see: Callable[[], None]) -> Iterator[None]:
    def hook(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        see()

    handle = register_optimizer_step_post_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def test_the_average_is_what_is_validated_and_kept(rendered: Rendered, tmp_path: Path) -> None:
    module, steps, validated, decay = small_module(), [], [], 0.7

    def metrics(model: torch.nn.Module) -> dict[str, float]:
        validated.append(weights_of(model))
        return {"AP": 0.5}

    with every_step(lambda: steps.append(weights_of(module.model))):
        train(rendered, tmp_path, module=module, metrics=metrics, ema=decay, epochs=2, validate_every=2)
    assert len(steps) == 6
    expected = {name: value for name, value in steps[0].items() if value.is_floating_point()}
    for step in steps[1:]:
        expected = {name: decay * value + (1 - decay) * step[name] for name, value in expected.items()}
    (seen,) = validated
    kept, best = (load_model(tmp_path / name)[0].state_dict() for name in ("last", "best"))
    for name, value in expected.items():
        torch.testing.assert_close(seen[name], value, rtol=1e-4, atol=1e-6)
        assert torch.equal(seen[name], kept[name])
        assert torch.equal(seen[name], best[name])
    distance = [sum((seen[n] - other[n]).norm() for n in expected) for other in (expected, steps[-1])]
    assert distance[0] < 0.01 * distance[1], "the last step's weights are others"


@pytest.mark.filterwarnings("ignore:Found .* in eval mode")
def test_two_batches_are_one_of_twice_the_size(rendered: Rendered, tmp_path: Path) -> None:
    size = len(PersonCrops(rendered.cache, occluded=0.5, seed=1, **LIVELY)) // 4 * 2
    train(rendered, tmp_path / "one", 2 * size, small_module(frozen=True))
    train(rendered, tmp_path / "two", size, small_module(frozen=True), accumulate=2)
    one, two = gradient(tmp_path / "one"), gradient(tmp_path / "two")
    assert (one - two).norm() < 1e-4 * one.norm()


def test_warmup_counts_steps_of_the_optimiser(rendered: Rendered, tmp_path: Path) -> None:
    module, rates = small_module(), []
    module.warmup_steps = 3

    def see() -> None:
        rates.append(module.optimizers().param_groups[0]["lr"])  # type: ignore[union-attr]

    with every_step(see):
        train(rendered, tmp_path, batch_size=4, module=module, accumulate=2, epochs=2)
    assert rates == pytest.approx([0.0005, 0.001, 0.0015, 0.002, *[0.002] * (len(rates) - 4)])
    assert len(rates) in (6, 8)


def test_gradients_are_clipped_as_one(rendered: Rendered, tmp_path: Path) -> None:
    size = len(PersonCrops(rendered.cache, occluded=0.5, seed=1, **LIVELY))
    train(rendered, tmp_path / "free", size)
    train(rendered, tmp_path / "clipped", size, max_grad_norm=0.01)
    free, clipped = gradient(tmp_path / "free"), gradient(tmp_path / "clipped")
    assert free.norm() > 0.02
    assert clipped.norm().item() == pytest.approx(0.01, rel=1e-3)
    assert torch.nn.functional.cosine_similarity(free, clipped, dim=0) > 0.9999


def test_bf16_differs_little(rendered: Rendered, tmp_path: Path) -> None:
    size = len(PersonCrops(rendered.cache, occluded=0.5, seed=1, **LIVELY))
    for precision in ("fp32", "bf16"):
        module = train(rendered, tmp_path / precision, size, precision=precision)
        assert {value.dtype for value in module.parameters()} == {torch.float32}
    exact, rough = gradient(tmp_path / "fp32"), gradient(tmp_path / "bf16")
    assert not torch.equal(exact, rough)
    assert torch.nn.functional.cosine_similarity(exact, rough, dim=0) > 0.98
    assert rough.norm().item() == pytest.approx(exact.norm().item(), rel=0.05)


def test_the_best_is_kept_and_no_gain_ends_the_run(rendered: Rendered, tmp_path: Path) -> None:
    metrics, seen = iter([0.1, 0.4, 0.3, 0.2, 0.5]), []

    def judge(model: torch.nn.Module) -> dict[str, float]:
        seen.append(weights_of(model))
        return {"heatmap_AP": 0.9 - 0.1 * len(seen), "graph_AP": next(metrics)}

    train(rendered, tmp_path, metrics=judge, epochs=9, early_stop=2)
    assert len(seen) == 4, "two validations without gain behind the second"
    kept = {name: load_model(tmp_path / name)[0].state_dict() for name in ("best", "last")}
    for name in seen[0]:
        assert torch.equal(kept["best"][name], seen[1][name])
        assert torch.equal(kept["last"][name], seen[3][name])
    train(rendered, tmp_path, metrics=judge, epochs=9, early_stop=2)
    assert len(seen) == 4, "a rerun of an ended run trains no more"


def test_loader_processes_change_nothing(rendered: Rendered, tmp_path: Path) -> None:
    alone, loaded = (train(rendered, tmp_path / str(workers), workers=workers, epochs=2) for workers in (0, 2))
    for name, value in alone.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name


def test_a_run_without_figures_keeps_the_last(rendered: Rendered, tmp_path: Path) -> None:
    train(rendered, tmp_path)
    assert (tmp_path / "last").is_dir()
    assert not (tmp_path / "best").exists()


def test_lines_say_how_far_a_run_is(rendered: Rendered, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    train(rendered, tmp_path, epochs=2)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 2, "the first, nothing within ten seconds, and the last"
    assert lines[0].startswith("epoch 1 of 2: loss 0.")
    assert "images/s, waiting for data " in lines[0]
    assert lines[1].endswith("0:00:00 left")
    rows = [line.split("\t") for line in (tmp_path / "speed.tsv").read_text().splitlines()]
    assert rows[0] == ["epoch", "images_per_second", "waiting"]
    assert [row[0] for row in rows[1:]] == ["0", "1"]
    assert all(float(row[1]) > 1 and 0 <= float(row[2]) <= 1 for row in rows[1:])
