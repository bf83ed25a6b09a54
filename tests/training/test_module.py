"""Training: it learns, it goes on where it was stopped, and what it draws depends on nothing but the seed."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch

from dag.annotation import PersonAnnotation, read_annotations
from dag.boxes import boxes_of
from dag.cache.batches import PersonCrops, collate
from dag.callbacks.resume_state import state_folder
from dag.callbacks.save_state import SaveState
from dag.evaluation.coco.oks import oks
from dag.geometry import apply_affine, crop_from_box, input_from_image, invert
from dag.inference.predictor import predict_poses
from dag.models.heads.heatmap import HeatmapHead
from dag.models.pose import build_model
from dag.training.data import PoseData
from dag.training.module import PoseTraining
from dag.training.train import train_pose
from tests.conftest import Rendered

CALM = {"flip": 0.0, "rotation": 0.0, "rotation_p": 0.0, "scale": 0.0, "half_body": 0.0}
LIVELY = {"flip": 0.5, "rotation": 45.0, "rotation_p": 0.6, "scale": 0.35, "half_body": 0.3}


def make_module(**changes: object) -> PoseTraining:
    """A small DAG model of fixed weights in its training module."""
    torch.manual_seed(3)
    model = build_model("hrnet_tiny", adam=True, graph=True, detach=True, width=32, blocks=2)
    settings = {
        "input_wh": (96, 128), "multi_person": 1.0, "target": 1.0, "graph": 0.1, "brightness": 0.1,
        "contrast": 0.1, "colour": 0.1, "learning_rate": 0.002, "warmup_steps": 0, "milestones": [2], "seed": 1,
    }  # fmt: skip
    return PoseTraining(model, **{**settings, **changes})  # type: ignore[arg-type]


def run(module: PoseTraining, crops: PersonCrops, state: Path, epochs: int, batch_size: int = 8) -> None:
    train_pose(
        module, PoseData(crops, batch_size, seed=1, workers=0), epochs=epochs, validate_every=epochs,
        metrics=lambda model: {}, state=state, device="cpu",
    )  # fmt: skip


def test_eight_people_are_learned_by_heart(rendered: Rendered, tmp_path: Path) -> None:
    people = [p for p in read_annotations(rendered.annotations, "train")[0] if (p.visibility == 2).sum() >= 10][:8]
    wanted = {person.person_id for person in people}
    crops = PersonCrops(rendered.cache, occluded=0.0, seed=1, **CALM)
    chosen = torch.utils.data.Subset(crops, [i for i in range(len(crops)) if crops.shards.person_id(i) in wanted])
    batch = collate([chosen[i] for i in range(8)])
    module = make_module(brightness=0.0, contrast=0.0, colour=0.0)
    optimizer = torch.optim.Adam(module.model.parameters(), 0.002)
    module.model.train()
    generator = torch.Generator().manual_seed(1)
    for step in range(220):
        optimizer.param_groups[0]["lr"] = 0.002 if step < 170 else 0.0002
        losses = module.losses(batch, module.model.draw_center_offsets(8, generator))
        sum(losses.values()).backward()  # type: ignore[union-attr]
        optimizer.step()
        optimizer.zero_grad()
    skeleton = crops.shards.skeleton
    found = predict_poses(
        module.model, boxes_of(people), rendered.root, skeleton, input_wh=(96, 128), flip=False, batch_size=8, workers=0
    )
    gt_xy = np.stack([person.keypoints_xy for person in people])
    visibility = np.stack([person.visibility for person in people])
    area = np.array([person.area for person in people])

    def mean_oks(predicted_xy: np.ndarray) -> float:
        return float(oks(predicted_xy, gt_xy, visibility, area, skeleton.sigma_array).mean())

    heatmap, graph = (
        np.stack([pose.keypoints_xy for pose in found if pose.output == output]) for output in ("heatmap", "graph")
    )
    assert mean_oks(graph) > 0.95
    # HRNet's codec rounds to heatmap pixels, 4 pixels of this small input: a perfect heatmap says no more.
    assert mean_oks(heatmap) > mean_oks(np.stack([coded_and_decoded(person) for person in people])) - 0.05


def coded_and_decoded(person: PersonAnnotation) -> np.ndarray:
    """A person's joints through the target heatmaps and back, in image pixels."""
    affine = input_from_image(*crop_from_box(person.bbox_xywh, (96, 128)), (96, 128))
    head = HeatmapHead(1, 17)
    input_xy = torch.from_numpy(apply_affine(affine, person.keypoints_xy)).float()[None, None]
    targets = head.targets(input_xy, torch.ones(1, 1, 17, dtype=torch.bool), (32, 24), (128, 96))
    return apply_affine(invert(affine), head.decode(targets, (128, 96))[0][0].double().numpy())


def test_a_stopped_run_ends_as_the_uninterrupted_one(rendered: Rendered, tmp_path: Path) -> None:
    crops = PersonCrops(rendered.cache, occluded=0.5, seed=1, **LIVELY)
    whole = make_module()
    run(whole, crops, tmp_path / "whole", epochs=4)
    first = make_module()
    run(first, crops, tmp_path / "parts", epochs=2)
    second = make_module()
    run(second, crops, tmp_path / "parts", epochs=4)
    before, after = whole.model.state_dict(), second.model.state_dict()
    assert not all(torch.equal(value, after[name]) for name, value in first.model.state_dict().items())
    for name, value in before.items():
        assert torch.equal(value, after[name]), name
    loss = "live/plots/metrics/train/loss.tsv"
    assert (tmp_path / "whole" / loss).read_text() == (tmp_path / "parts" / loss).read_text()


def test_the_rate_rises_and_then_falls_at_its_milestones() -> None:
    module = make_module(warmup_steps=3, milestones=[1, 2])
    rising = [module.rate(0, step) for step in range(5)]
    np.testing.assert_allclose(rising, [0.0005, 0.001, 0.0015, 0.002, 0.002])
    np.testing.assert_allclose([module.rate(epoch, 99) for epoch in range(4)], [0.002, 0.0002, 0.00002, 0.00002])


def test_the_rate_reaches_the_optimiser(rendered: Rendered, tmp_path: Path) -> None:
    crops = PersonCrops(rendered.cache, occluded=0.5, seed=1, **CALM)
    run(make_module(milestones=[1, 2]), crops, tmp_path, epochs=3)
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert [group["lr"] for group in state["optimizer_states"][0]["param_groups"]] == [pytest.approx(0.00002)]
    lines = (tmp_path / "live/plots/metrics/lr.tsv").read_text().split()
    np.testing.assert_allclose([float(word) for word in lines[3::2]], [0.002, 0.0002, 0.00002], rtol=1e-5)


def test_loaders_with_and_without_workers_draw_the_same(rendered: Rendered) -> None:
    crops = PersonCrops(rendered.cache, occluded=0.5, seed=1, **LIVELY)
    batches = [list(PoseData(crops, 8, seed=1, workers=workers).train_dataloader()) for workers in (0, 2)]
    for one, other in zip(*batches, strict=True):
        for name, value in one.items():
            assert torch.equal(value, other[name]), name


@contextmanager
def going_on(root: Path, shaped_by: dict) -> Iterator[None]:
    """A process that takes a folder and leaves a state in it, until the block ends."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        (process.submit(state_folder, root, shaped_by).result() / "last.ckpt").write_text("state")
        yield


def test_another_run_starts_anew(tmp_path: Path) -> None:
    for _ in range(2):
        with going_on(tmp_path, {"epochs": 1}):
            assert len(list(tmp_path.glob("*/last.ckpt"))) == 1
    second = state_folder(tmp_path, {"epochs": 2})
    assert list(tmp_path.iterdir()) == [second]
    assert not list(second.iterdir())


def test_a_run_beside_this_one_keeps_its_state(tmp_path: Path) -> None:
    with going_on(tmp_path, {"epochs": 1}):
        state_folder(tmp_path, {"epochs": 2})
        assert len(list(tmp_path.glob("*/last.ckpt"))) == 1


def test_the_state_appears_whole(tmp_path: Path) -> None:
    class Failing(L.Trainer):
        def save_checkpoint(self, filepath: Path, **options: object) -> None:  # type: ignore[override]
            filepath.write_text("half")
            raise OSError("disk full")

    (tmp_path / "last.ckpt").write_text("good")
    trainer = Failing(accelerator="cpu", logger=False, enable_checkpointing=False, default_root_dir=tmp_path)
    with pytest.raises(OSError, match="disk full"):
        SaveState(tmp_path / "last.ckpt").on_train_epoch_end(trainer, make_module())
    assert (tmp_path / "last.ckpt").read_text() == "good"
