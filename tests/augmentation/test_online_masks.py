"""Online mask joints against `mask_joints` on the CPU."""

import cv2
import numpy as np
import pytest
import torch

from dag.annotation import Visibility
from dag.augmentation.batch_transforms import denormalise, normalise, warp
from dag.augmentation.instances import Instances
from dag.augmentation.occlusion import mask_joints
from dag.augmentation.online_masks import draw_masks, paint_masks
from dag.cache.batches import PersonCrops, collate
from dag.training.data import PoseData
from tests.conftest import Rendered

INPUT = (96, 128)
HRNET = {"flip": 0.5, "rotation": 45.0, "rotation_p": 0.6, "scale": 0.35, "half_body": 0.3}


def masked_crops(rendered: Rendered, mask_joints: float, seed: int = 1) -> PersonCrops:
    return PersonCrops(rendered.cache, occluded=0.5, seed=seed, mask_joints=mask_joints, **HRNET)


def batch_of(crops: PersonCrops) -> dict[str, torch.Tensor]:
    return collate([crops[index] for index in range(len(crops))])


def random_instances(rng: np.random.Generator) -> Instances:
    xy = rng.uniform(-10, [INPUT[0] + 10, INPUT[1] + 10], (3, 17, 2))
    visibility = rng.integers(0, 3, (3, 17)).astype(np.int8)
    return Instances(xy, visibility, np.zeros((3, 17), np.int8), rng.integers(0, 3, (3, 17)).astype(np.int8))


@pytest.mark.parametrize("patches", [True, False])
def test_the_device_paints_what_the_cpu_function_paints(patches: bool) -> None:
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (40, INPUT[1], INPUT[0], 3), dtype=np.uint8)
    other = rng.integers(0, 256, (60, 50, 3), dtype=np.uint8) if patches else None
    expected, masks = [], []
    for number, crop in enumerate(crops):
        instances = random_instances(rng)
        sizes = {"min_size": 5.0, "max_size": 20.0}
        image, occluded = mask_joints(crop, instances, np.random.default_rng((7, number)), other_image=other, **sizes)
        layer, masked = draw_masks(instances, (7, number), INPUT, other)
        assert np.array_equal(masked.visibility, occluded.visibility)
        assert np.array_equal(masked.occluder, occluded.occluder)
        expected.append(image)
        masks.append(layer)
    unmasked = normalise(torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255)
    painted = denormalise(paint_masks(unmasked, torch.from_numpy(np.stack(masks)))) * 255
    assert np.abs(painted.permute(0, 2, 3, 1).numpy() - np.stack(expected)).max() < 1e-3
    assert 0.02 < np.mean(np.stack(masks)[..., 3] > 0) < 0.5


def test_masks_lie_over_joints_of_the_input(rendered: Rendered) -> None:
    """Through rotation, flip and warp: every joint that becomes occluded is under painted pixels."""
    plain, masked = batch_of(masked_crops(rendered, 0.0)), batch_of(masked_crops(rendered, 1.0))
    assert "masks" not in plain
    for name in ("image", "input_from_canvas", "keypoints_input_xy", "ignore", "person_id"):
        assert torch.equal(plain[name], masked[name]), name
    assert torch.equal(plain["visibility"] > 0, masked["visibility"] > 0), "labels stay"
    newly_occluded = (plain["visibility"] == Visibility.VISIBLE) & (masked["visibility"] == Visibility.OCCLUDED)
    person, instance, joint = newly_occluded.nonzero(as_tuple=True)
    assert len(set(person.tolist())) > len(plain["image"]) / 2
    assert torch.equal(plain["visibility"][~newly_occluded], masked["visibility"][~newly_occluded])
    column, row = (masked["keypoints_input_xy"][person, instance, joint] + 0.5).floor().long().unbind(-1)
    assert (masked["masks"][person, row, column, 3] == 255).all()


def test_painted_inputs_agree_with_opencv(rendered: Rendered) -> None:
    batch = batch_of(masked_crops(rendered, 1.0))
    images = warp(batch["image"], batch["input_from_canvas"], INPUT[::-1])
    painted = denormalise(paint_masks(images, batch["masks"])).permute(0, 2, 3, 1).numpy() * 255
    for image, affine, layer, warped in zip(batch["image"], batch["input_from_canvas"], batch["masks"], painted):
        expected = cv2.warpAffine(image.numpy(), affine.numpy().astype(float), INPUT)
        under = layer[..., 3].numpy() > 0
        expected[under] = layer[..., :3].numpy()[under]
        difference = np.abs(warped - expected)
        assert difference[under].max() < 1e-3
        assert difference.mean() < 1


def test_masks_are_drawn_by_seed_epoch_and_person(rendered: Rendered) -> None:
    crops = masked_crops(rendered, 0.5)
    first = batch_of(crops)["masks"]
    assert torch.equal(first, batch_of(masked_crops(rendered, 0.5))["masks"])
    assert not torch.equal(first, batch_of(masked_crops(rendered, 0.5, seed=2))["masks"])
    ratios = []
    for epoch in range(1, 9):
        crops.set_epoch(epoch)
        again = batch_of(crops)["masks"]
        assert not torch.equal(first, again)
        ratios.append((again[..., 3] > 0).flatten(1).any(1).float().mean().item())
    assert 0.35 < np.mean(ratios) < 0.6, "half of them, except those of which no more joints may be covered"
    in_process, two_workers = (
        list(PoseData(crops, 8, seed=1, workers=workers).train_dataloader()) for workers in (0, 2)
    )
    for one, other in zip(in_process, two_workers, strict=True):
        assert torch.equal(one["masks"], other["masks"])
    parts = [PoseData(crops, 8, seed=1, workers=0).batches(0, rank, 2)[0] for rank in range(2)]
    crops.set_epoch(0)
    for part in parts:
        assert torch.equal(collate([crops[index] for index in part])["masks"], first[part])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_gpu_paints_as_the_cpu(rendered: Rendered) -> None:
    masks = batch_of(masked_crops(rendered, 1.0))["masks"]
    images = torch.randn(len(masks), 3, INPUT[1], INPUT[0], generator=torch.Generator().manual_seed(0))
    assert torch.allclose(paint_masks(images.cuda(), masks.cuda()).cpu(), paint_masks(images, masks), atol=1e-5)
