from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from dag.annotation import PersonAnnotation, Source, read_annotations, write_annotations
from dag.augmentation.batch_transforms import denormalise, warp
from dag.augmentation.occlusion import mask_joints
from dag.cache.batches import PersonCrops, collate
from dag.cache.build import write_cache
from dag.cache.crops import is_trainable, unlabelled_region
from dag.cache.person_images import PersonImages
from dag.convert.coco import read_coco
from dag.errors import UserError
from dag.geometry import apply_affine, compose, crop_from_box, input_from_image
from dag.image import read_image
from dag.parallel import Workers
from dag.pool.pool import write_pool
from dag.skeleton import COCO17
from tests.conftest import Rendered
from tests.makers import make_person, make_toy_set

NO_AUGMENTATION = {"flip": 0.0, "rotation": 0.0, "rotation_p": 0.0, "scale": 0.0, "half_body": 0.0}
HRNET = {"flip": 0.5, "rotation": 45.0, "rotation_p": 0.6, "scale": 0.35, "half_body": 0.3}
INPUT = WIDTH, HEIGHT = 96, 128


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    make_toy_set(folder, images=6)
    return folder


def _dataset(toy: Path, **keywords) -> PersonImages:
    return PersonImages(toy / "annotations.parquet", toy / "images", input_wh=INPUT, seed=1, **{**HRNET, **keywords})


def _persons(toy: Path) -> dict[int, PersonAnnotation]:
    return {person.person_id: person for person in read_annotations(toy / "annotations.parquet", "train")[0]}


def _input_from_image(person: PersonAnnotation) -> np.ndarray:
    return input_from_image(*crop_from_box(person.bbox_xywh, INPUT), INPUT)


def _same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_every_trainable_person_is_one_sample(toy: Path) -> None:
    dataset = _dataset(toy)
    trainable = sorted(person.person_id for person in _persons(toy).values() if is_trainable(person))
    assert sorted(dataset[index]["person_id"] for index in range(len(dataset))) == trainable
    assert len(trainable) == 12


def test_without_augmentation_it_is_one_warp_of_the_image(toy: Path) -> None:
    dataset, persons = _dataset(toy, **NO_AUGMENTATION), _persons(toy)
    for index in range(len(dataset)):
        sample = dataset[index]
        person = persons[sample["person_id"]]
        affine = _input_from_image(person)
        expected = cv2.warpAffine(read_image(toy / "images", person.image_path), affine, INPUT)
        assert np.array_equal(sample["image"], expected)
        labelled = sample["visibility"][0] > 0
        assert np.array_equal(sample["visibility"][0][labelled], person.visibility[labelled])
        xy = apply_affine(affine, person.keypoints_xy)
        assert np.allclose(sample["keypoints_input_xy"][0], np.where(labelled[:, None], xy, 0), atol=1e-4)


def test_samples_are_those_of_the_cache(rendered: Rendered) -> None:
    """Same persons, keys, types, unaugmented inputs and joints."""
    dataset = PersonImages(rendered.annotations, rendered.root, input_wh=INPUT, seed=1, **NO_AUGMENTATION)
    crops = PersonCrops(rendered.cache, occluded=0.0, seed=1, **NO_AUGMENTATION)
    assert len(dataset) == len(crops)
    for index in range(len(crops)):
        one, other = (collate([samples[index]]) for samples in (dataset, crops))
        assert one.keys() == other.keys()
        assert one["person_id"] == other["person_id"]
        assert all(one[name].dtype == other[name].dtype for name in one)
        inputs = [warp(batch["image"], batch["input_from_canvas"], (HEIGHT, WIDTH)) for batch in (one, other)]
        assert (denormalise(inputs[0]) - denormalise(inputs[1])).abs().max() * 255 < 0.05
        # The canvas is larger than the input and may contain persons without a joint in the input.
        in_input = (other["visibility"][0] > 0).any(1)
        in_input[0] = True
        assert torch.equal(one["visibility"][0], other["visibility"][0][in_input])
        assert torch.allclose(one["keypoints_input_xy"][0], other["keypoints_input_xy"][0][in_input], atol=1e-3)


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_a_lit_pixel_stays_at_its_joint(tmp_path: Path, flip: float) -> None:
    """Through rotation, scale, half body and flip, which turns the left wrist into the right wrist."""
    rng, joint = np.random.default_rng(0), COCO17.joints.index("left_wrist")
    (tmp_path / "images").mkdir()
    persons = [make_person(rng, number, number, (40, 20, 60, 80)) for number in range(1, 25)]
    for person in persons:
        lit = np.zeros((120, 160), np.float32)
        person.keypoints_xy[joint] = rng.integers([60, 40], [80, 80])
        column, row = person.keypoints_xy[joint].astype(int)
        lit[row - 1 : row + 2, column - 1 : column + 2] = 255
        cv2.imwrite(str(tmp_path / "images" / person.image_path), lit)
    write_annotations(tmp_path / "annotations.parquet", persons, COCO17)
    dataset, checked, name = _dataset(tmp_path, flip=flip), 0, COCO17.flip_index[joint] if flip else joint
    for index in range(len(dataset)):
        sample = dataset[index]
        at = sample["keypoints_input_xy"][0, name]
        if not (sample["visibility"][0, name] and 12 < at[0] < WIDTH - 13 and 12 < at[1] < HEIGHT - 13):
            continue
        light = sample["image"][..., 0].astype(float)
        rows, columns = np.indices(light.shape)
        centroid = np.array([(light * columns).sum(), (light * rows).sum()]) / light.sum()
        assert np.abs(centroid - at).max() < 0.3
        checked += 1
    assert checked > 12


def test_a_flip_is_the_mirrored_image_with_swapped_joints(rendered: Rendered) -> None:
    """The flip is part of the affine map: it equals a flip after the warp up to rounding."""
    still, flipped = (
        PersonImages(rendered.annotations, rendered.root, input_wh=INPUT, seed=1, **{**NO_AUGMENTATION, "flip": p})
        for p in (0.0, 1.0)
    )
    for index in range(len(still)):
        one, other = still[index], flipped[index]
        difference = np.abs(one["image"][:, ::-1].astype(int) - other["image"])
        assert difference.mean() < 0.05
        assert difference.max() <= 8
        assert np.array_equal(one["visibility"], other["visibility"][:, COCO17.flip_index])
        back = other["keypoints_input_xy"][:, COCO17.flip_index]
        labelled = one["visibility"] > 0
        assert np.allclose((WIDTH - 1 - back[..., 0])[labelled], one["keypoints_input_xy"][..., 0][labelled], atol=1e-4)


def test_ignored_regions_are_those_of_persons_without_labels(tmp_path: Path) -> None:
    """For persons with a mask and with a box only: the region in the image, warped to a quarter of the input."""
    rng = np.random.default_rng(0)
    target = make_person(rng, 1, 1, (40, 20, 60, 80))
    child = make_person(rng, 2, 1, (60, 50, 30, 40), labelled=False)
    crowd = make_person(rng, 3, 1, (20, 70, 25, 30), labelled=False, is_crowd=True, mask=False)
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / target.image_path), np.zeros((120, 160, 3), np.uint8))
    write_annotations(tmp_path / "annotations.parquet", [target, child, crowd], COCO17)
    ignore = _dataset(tmp_path, **NO_AUGMENTATION)[0]["ignore"]
    region = unlabelled_region([target, child, crowd])
    warped = cv2.warpAffine(region, _input_from_image(target), INPUT, flags=cv2.INTER_NEAREST)
    blocks = warped.reshape(HEIGHT // 4, 4, WIDTH // 4, 4).mean(axis=(1, 3))
    clear = np.abs(blocks - 0.5) > 0.45
    assert ignore.shape == blocks.shape
    assert np.array_equal(ignore[clear], (blocks > 0.5)[clear])
    assert (blocks[clear] > 0.5).mean() > 0.1


def test_any_occlusion_function_can_be_given(toy: Path) -> None:
    occlude = partial(mask_joints, min_count=2, max_count=4, min_size=10.0, max_size=20.0)
    plain, occluded = _dataset(toy), _dataset(toy, occlude=occlude)
    for index in range(len(plain)):
        one, other = plain[index], occluded[index]
        assert (one["image"] != other["image"]).any() or not one["visibility"][0].any()
        assert (other["visibility"] <= one["visibility"]).all()
        assert np.array_equal(other["visibility"] > 0, one["visibility"] > 0)
        assert np.array_equal(other["keypoints_input_xy"], one["keypoints_input_xy"])
        assert _same(other, occluded[index])


def test_same_seed_and_epoch_same_sample_for_any_number_of_workers(toy: Path) -> None:
    dataset, again = _dataset(toy), _dataset(toy)
    in_process = list(DataLoader(dataset, 5, collate_fn=collate))  # type: ignore[arg-type]
    two_workers = list(DataLoader(again, 5, collate_fn=collate, num_workers=2))  # type: ignore[arg-type]
    assert len(in_process) == len(two_workers) == 3
    assert all(_same(one, other) for one, other in zip(in_process, two_workers))
    again.set_epoch(1)
    assert not all(_same(dataset[index], again[index]) for index in range(len(dataset)))
    dataset.set_epoch(1)
    assert all(_same(dataset[index], again[index]) for index in reversed(range(len(dataset))))


def test_missing_persons_splits_and_images_are_errors(toy: Path, tmp_path: Path) -> None:
    unlabelled = tmp_path / "unlabelled.parquet"
    write_annotations(unlabelled, [make_person(np.random.default_rng(0), 1, 1, (9, 9, 9, 9), labelled=False)], COCO17)
    with pytest.raises(
        UserError, match=r"unlabelled.parquet: no persons to train on: expected persons with labelled joints"
    ):
        PersonImages(unlabelled, toy / "images", input_wh=INPUT, seed=1, **NO_AUGMENTATION)
    with pytest.raises(
        UserError, match=r"no annotations of this split: expected one of \['train', 'val'\], got 'test'"
    ):
        PersonImages(toy / "annotations.parquet", toy, "test", input_wh=INPUT, seed=1, **NO_AUGMENTATION)
    dataset = PersonImages(toy / "annotations.parquet", tmp_path, input_wh=INPUT, seed=1, **NO_AUGMENTATION)
    with pytest.raises(UserError, match=r"1.png: missing or unreadable image; check the data root"):
        dataset[0]


def _differences(crops: PersonCrops, persons: dict[int, PersonAnnotation], root: Path, epochs: Sequence[int]) -> tuple:
    """Absolute differences, in grey levels, between the warped canvas and a single warp of the image, where the canvas
    has pixels; and the fraction of the input where it has."""
    differences, covered = [], []
    width, height = crops.shards.input_wh
    for epoch in epochs:
        crops.set_epoch(epoch)
        for index in range(len(crops)):
            sample = crops[index]
            affine, canvas = sample["input_from_canvas"].astype(float), crops.shards.crop(index, 0)
            batch = collate([sample])
            twice = denormalise(warp(batch["image"], batch["input_from_canvas"], (height, width)))[0] * 255
            image = read_image(root, persons[sample["person_id"]].image_path)
            once = cv2.warpAffine(image, compose(affine, canvas.canvas_from_image), (width, height))
            inside = cv2.warpAffine(np.full(canvas.image.shape[:2], 255, np.uint8), affine, (width, height)) == 255
            differences.append(np.abs(twice.permute(1, 2, 0).numpy().round() - once)[inside].ravel())
            covered.append(inside.mean())
    return np.concatenate(differences), float(np.mean(covered))


def test_difference_of_cached_crops_from_a_single_warp(real_data: Path, tmp_path: Path) -> None:
    """On COCO images at 256 x 192, in grey levels of 255: the second warp blurs edges, where differences can be large;
    half of the pixels change by at most 1. With HRNet's augmentation, about a twentieth of the input lies outside the
    canvas and is black; without augmentation, none."""
    root, keywords = real_data / "data/coco", {"skeleton": COCO17, "source": Source.ANNOTATED}
    annotations = root / "annotations/person_keypoints_train2017.json"
    persons, _ = read_coco(annotations, dataset="coco", split="train", image_folder="train2017", **keywords)
    write_annotations(tmp_path / "annotations.parquet", persons, COCO17)
    write_pool(tmp_path / "pool.arrow", [], COCO17)
    write_cache(
        tmp_path / "cache", tmp_path / "annotations.parquet", tmp_path / "pool.arrow", root, input_wh=(192, 256),
        margin=1.25, variants=1, shard_mb=64.0, mask={"p": 0.0, "min_size": 10.0, "max_size": 40.0}, paste={"p": 0.0},
        seed=1, workers=Workers(1),
    )  # fmt: skip
    by_id = {person.person_id: person for person in persons}
    for augment, mean, maximum, coverage in ((NO_AUGMENTATION, 0.01, 16, 1.0), (HRNET, 2.0, 255, 0.94)):
        crops = PersonCrops(tmp_path / "cache", occluded=0.0, seed=1, **augment)
        difference, covered = _differences(crops, by_id, root, (0,))
        assert difference.mean() < mean
        assert difference.max() <= maximum
        assert np.quantile(difference, [0.5, 0.9, 0.99]).tolist() <= [1, 5, 25]
        assert covered >= coverage
