import multiprocessing
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from dag.augmentation.affine import half_body_crop
from dag.cache.batches import PersonCrops, collate
from dag.cache.shards import Shards
from dag.geometry import apply_affine
from dag.skeleton import COCO17
from tests.cache.test_build import KEYWORDS, _cache
from tests.makers import make_toy_set

NO_AUGMENTATION = {"flip": 0.0, "rotation": 0.0, "rotation_p": 0.0, "scale": 0.0, "half_body": 0.0, "seed": 1}
HRNET = {"flip": 0.5, "rotation": 45.0, "rotation_p": 0.6, "scale": 0.35, "half_body": 0.3, "seed": 1}
WIDTH, HEIGHT = KEYWORDS["input_wh"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    toy = tmp_path_factory.mktemp("toy")
    make_toy_set(toy, images=6)
    _cache(toy, "cache")
    return toy / "cache"


def _same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def _loaded(crops: PersonCrops, workers: int, context: str | None = None) -> list[dict]:
    loader = DataLoader(crops, batch_size=5, num_workers=workers, collate_fn=collate, multiprocessing_context=context)
    return list(loader)


def test_without_augmentation_the_input_is_the_middle_of_the_canvas(folder: Path) -> None:
    crops, shards = PersonCrops(folder, occluded=0.0, **NO_AUGMENTATION), Shards(folder)
    for index in range(len(crops)):
        sample, crop = crops[index], shards.crop(index, 0)
        margin = (np.array(shards.canvas_wh) - shards.input_wh) // 2
        assert np.array_equal(sample["input_from_canvas"], [[1, 0, -margin[0]], [0, 1, -margin[1]]])
        assert sample["image"].tobytes() == crop.image.tobytes()
        assert sample["ignore"].tobytes() == crop.ignore.tobytes()
        labelled = sample["visibility"] > 0
        expected = (crop.keypoints_xy - margin)[labelled]
        assert np.allclose(sample["keypoints_input_xy"][labelled], expected, atol=1e-4)
        assert (sample["visibility"][labelled] == crop.visibility[labelled]).all()


def test_the_unaugmented_input_equals_a_direct_warp_of_the_image(folder: Path) -> None:
    from dag.geometry import compose

    shards = Shards(folder)
    crop = shards.crop(0, 0)
    image = cv2.imread(str(folder.parent / "images/1.png"), cv2.IMREAD_COLOR_RGB)
    sample = PersonCrops(folder, occluded=0.0, **NO_AUGMENTATION)[0]
    affine = sample["input_from_canvas"].astype(float)
    expected = cv2.warpAffine(image, compose(affine, crop.canvas_from_image), (WIDTH, HEIGHT))
    actual = cv2.warpAffine(sample["image"], affine, (WIDTH, HEIGHT))
    assert np.array_equal(expected, actual)


@pytest.mark.parametrize("epoch", range(3))
def test_joints_follow_the_affine_map_and_joints_outside_are_unlabelled(folder: Path, epoch: int) -> None:
    crops, shards = PersonCrops(folder, occluded=0.0, **HRNET), Shards(folder)
    crops.set_epoch(epoch)
    mirrored = 0
    for index in range(len(crops)):
        sample, crop = crops[index], shards.crop(index, 0)
        affine = sample["input_from_canvas"].astype(float)
        xy, visibility = apply_affine(affine, crop.keypoints_xy.astype(float)), crop.visibility
        if np.linalg.det(affine[:, :2]) < 0:
            mirrored += 1
            xy, visibility = xy[:, COCO17.flip_index], visibility[:, COCO17.flip_index]
        inside = (np.abs(xy - (WIDTH / 2 - 0.5, HEIGHT / 2 - 0.5)) < (WIDTH / 2, HEIGHT / 2)).all(axis=-1)
        labelled = (visibility > 0) & inside
        assert np.array_equal(sample["visibility"], np.where(labelled, visibility, 0))
        assert np.allclose(sample["keypoints_input_xy"], np.where(labelled[..., None], xy, 0), atol=1e-3)
    assert 0 < mirrored < len(crops)


def test_a_lit_pixel_stays_at_its_joint(folder: Path) -> None:
    """Through rotation, scale, half body and flip, warped by OpenCV."""
    crops, shards, checked = PersonCrops(folder, occluded=0.0, **HRNET), Shards(folder), 0
    for epoch in range(10):
        crops.set_epoch(epoch)
        for index in range(len(crops)):
            sample, crop = crops[index], shards.crop(index, 0)
            joint = int(np.argmax(sample["visibility"][0] > 0))
            flipped = np.linalg.det(sample["input_from_canvas"][:, :2]) < 0
            before = crop.keypoints_xy[0, COCO17.flip_index[joint] if flipped else joint]
            canvas = np.zeros(crop.image.shape[:2], np.float32)
            column, row = np.round(before).astype(int)
            canvas[row, column] = 1
            lit = cv2.warpAffine(canvas, sample["input_from_canvas"], (WIDTH, HEIGHT))
            after = sample["keypoints_input_xy"][0, joint]
            if lit.sum() < 0.2 or not (4 < after[0] < WIDTH - 5 and 4 < after[1] < HEIGHT - 5):
                continue
            rows, columns = np.indices(lit.shape)
            centroid = np.array([(lit * columns).sum(), (lit * rows).sum()]) / lit.sum()
            rounding = sample["input_from_canvas"][:, :2] @ (np.round(before) - before)
            assert np.abs(centroid - after - rounding).max() < 0.6
            checked += 1
    assert checked > 50


def test_flip_twice_is_the_identity(folder: Path) -> None:
    still, flipped = (PersonCrops(folder, occluded=0.0, **{**NO_AUGMENTATION, "flip": p}) for p in (0.0, 1.0))
    for index in range(len(still)):
        one, other = still[index], flipped[index]
        back = other["keypoints_input_xy"][:, COCO17.flip_index].copy()
        back[..., 0] = WIDTH - 1 - back[..., 0]
        visible = one["visibility"] > 0
        assert np.array_equal(other["visibility"][:, COCO17.flip_index], one["visibility"])
        assert np.allclose(back[visible], one["keypoints_input_xy"][visible], atol=1e-4)
        mirror = np.array([[-1.0, 0], [0, 1.0]])
        assert np.allclose(mirror @ other["input_from_canvas"][:, :2], one["input_from_canvas"][:, :2])


def test_augmentation_follows_the_protocol(folder: Path) -> None:
    crops = PersonCrops(folder, occluded=0.0, **{**HRNET, "half_body": 0.0})
    scales, angles, flips = [], [], []
    for epoch in range(70):
        crops.set_epoch(epoch)
        for index in range(len(crops)):
            linear = crops[index]["input_from_canvas"][:, :2].astype(float)
            flips.append(np.linalg.det(linear) < 0)
            scales.append(1 / np.hypot(*linear[1]))
            angles.append(np.rad2deg(np.arctan2(-linear[1, 0], linear[1, 1])))
    rotated = np.abs(angles) > 1e-3
    assert np.mean(flips) == pytest.approx(0.5, abs=0.05)
    assert np.mean(rotated) == pytest.approx(0.6, abs=0.05)
    assert np.std(np.array(angles)[rotated]) == pytest.approx(43, abs=4)
    assert np.max(np.abs(angles)) == pytest.approx(90, abs=1e-3)
    assert (min(scales), max(scales)) == pytest.approx((0.65, 1.35), abs=1e-3)
    assert np.mean(scales) == pytest.approx(1, abs=0.03)


def test_variants_are_drawn_uniformly_with_the_given_probability(folder: Path) -> None:
    shards = Shards(folder)
    images = [[shards.crop(index, variant).image.tobytes() for variant in range(3)] for index in range(len(shards))]
    for occluded in (0.0, 0.25, 1.0):
        crops, counts = PersonCrops(folder, occluded=occluded, **NO_AUGMENTATION), np.zeros(3)
        for epoch in range(30):
            crops.set_epoch(epoch)
            for index in range(len(crops)):
                counts[images[index].index(crops[index]["image"].tobytes())] += 1
        np.testing.assert_allclose(counts / counts.sum(), [1 - occluded, occluded / 2, occluded / 2], atol=0.06)


def test_half_body_crops_contain_one_half() -> None:
    xy = np.zeros((17, 2), np.float32)
    xy[:11] = np.random.default_rng(0).uniform(0, 20, (11, 2))
    xy[11:] = np.random.default_rng(1).uniform(100, 120, (6, 2))
    labelled, input_wh = np.ones(17, dtype=bool), (96, 128)
    upper = half_body_crop(xy, labelled, COCO17, input_wh, upper=True)
    lower = half_body_crop(xy, labelled, COCO17, input_wh, upper=False)
    assert upper is not None
    assert lower is not None
    assert (upper[0] < 20).all()
    assert (lower[0] > 100).all()
    for _, size_wh in (upper, lower):
        assert size_wh[0] / size_wh[1] == pytest.approx(96 / 128)
        assert size_wh.max() <= 1.5 * 20 * 128 / 96
    only_upper = labelled.copy()
    only_upper[11:15] = False
    other_half = half_body_crop(xy, only_upper, COCO17, input_wh, upper=False)
    assert other_half is not None
    assert np.allclose(other_half[0], upper[0])
    few = np.arange(17) < 8
    assert half_body_crop(xy, few, COCO17, input_wh, upper=True) is None


def test_half_body_is_used_at_its_probability(folder: Path) -> None:
    crops, used = PersonCrops(folder, occluded=0.0, **{**NO_AUGMENTATION, "half_body": 0.3}), []
    for epoch in range(40):
        crops.set_epoch(epoch)
        used += [crops[index]["input_from_canvas"][0, 0] != 1 for index in range(len(crops))]
    assert np.mean(used) == pytest.approx(0.3, abs=0.05)


def test_same_seed_and_epoch_same_sample(folder: Path) -> None:
    one, two = (PersonCrops(folder, occluded=0.5, **HRNET) for _ in range(2))
    assert all(_same(one[index], two[index]) for index in range(len(one)))
    two.set_epoch(1)
    assert not all(_same(one[index], two[index]) for index in range(len(one)))
    one.set_epoch(1)
    assert all(_same(one[index], two[index]) for index in reversed(range(len(one))))
    other = PersonCrops(folder, occluded=0.5, **{**HRNET, "seed": 2})
    assert not all(_same(one[index], other[index]) for index in range(len(one)))


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_any_number_of_workers_gives_the_same_batches(folder: Path, context: str) -> None:
    crops = PersonCrops(folder, occluded=0.5, **HRNET)
    crops.set_epoch(3)
    in_process = _loaded(crops, 0)
    assert context in multiprocessing.get_all_start_methods()
    two_workers = _loaded(crops, 2, context)
    assert len(in_process) == len(two_workers) == 3
    assert all(_same(one, other) for one, other in zip(in_process, two_workers))


def test_persistent_workers_see_the_next_epoch(folder: Path) -> None:
    crops = PersonCrops(folder, occluded=0.5, **HRNET)
    loader = DataLoader(crops, batch_size=12, num_workers=1, collate_fn=collate, persistent_workers=True)
    for epoch in range(2):
        crops.set_epoch(epoch)
        (batch,) = loader
        assert _same(batch, collate([crops[index] for index in range(12)]))


def test_collate_pads_the_number_of_instances(folder: Path) -> None:
    crops = PersonCrops(folder, occluded=0.5, **NO_AUGMENTATION)
    samples = [crops[index] for index in range(len(crops))]
    max_instances = max(len(sample["visibility"]) for sample in samples)
    assert min(len(sample["visibility"]) for sample in samples) < max_instances
    batch = collate(samples)
    width, height = crops.shards.canvas_wh
    assert batch["image"].shape == (12, height, width, 3)
    assert batch["image"].dtype == batch["ignore"].dtype == torch.uint8
    assert batch["ignore"].shape == (12, height // 4, width // 4)
    assert batch["input_from_canvas"].shape == (12, 2, 3)
    assert batch["keypoints_input_xy"].shape == (12, max_instances, 17, 2)
    assert batch["keypoints_input_xy"].dtype == batch["input_from_canvas"].dtype == torch.float32
    assert batch["visibility"].dtype == torch.int8
    assert batch["person_id"].tolist() == [sample["person_id"] for sample in samples]
    for sample, visibility in zip(samples, batch["visibility"]):
        assert (visibility[len(sample["visibility"]) :] == 0).all()
