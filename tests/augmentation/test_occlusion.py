from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from dag.annotation import Occluder, Source, Visibility
from dag.augmentation.instances import Instances, covered_joints
from dag.augmentation.occlusion import mask_joints, paste_instance
from dag.errors import UserError
from dag.geometry import at
from dag.pool.pool import Pool, write_pool
from dag.skeleton import COCO17
from tests.makers import make_cutout, make_instances

MASK = {"min_count": 1, "max_count": 8, "min_size": 10.0, "max_size": 40.0}
PASTE = {"min_scale": 0.7, "max_scale": 1.3, "max_rotation": 45.0, "max_covered": 0.8}
# Order of the visibility values: unlabelled (0), occluded (1 and 3), visible (2).
RANK = np.array([0, 1, 2, 1])


def _image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (320, 240, 3), dtype=np.uint8)


def _cutouts() -> list:
    rng = np.random.default_rng(9)
    return [make_cutout(rng, number, f"{number}.png") for number in range(4)]


def _bytes(image: np.ndarray, instances: Instances) -> bytes:
    return image.tobytes() + b"".join(value.tobytes() for value in vars(instances).values())


@pytest.mark.parametrize("seed", range(20))
def test_mask_joints_keeps_its_invariants(seed: int) -> None:
    image, instances = _image(), make_instances(np.random.default_rng(seed))
    occluded, after = mask_joints(image, instances, np.random.default_rng(seed), **MASK, other_image=_image(1))
    changed = (occluded != image).any(axis=-1)
    assert changed.any()
    assert (RANK[after.visibility] <= RANK[instances.visibility]).all()
    assert ((after.visibility > 0) == (instances.visibility > 0)).all()
    assert (after.keypoints_xy == instances.keypoints_xy).all()
    covered = after.occluder == Occluder.OBJECT
    assert covered[0].any()
    occluded = covered & (instances.visibility == Visibility.VISIBLE)
    assert (after.visibility[occluded] == Visibility.OCCLUDED).all()
    assert (after.visibility_source[occluded] == Source.PASTED).all()
    assert (after.visibility_source[~occluded] == instances.visibility_source[~occluded]).all()
    # A noise pixel may have the old value by chance: compare 3 x 3 neighbourhoods.
    near = np.stack([np.roll(changed, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]).any(axis=0)
    assert at(near, instances.keypoints_xy[covered]).all()
    assert not at(changed, instances.keypoints_xy[(instances.visibility > 0) & ~covered]).any()


def test_number_and_size_of_rectangles() -> None:
    instances = make_instances(np.random.default_rng(0), count=1)
    everywhere = replace(instances, visibility=np.full((1, 17), 2, np.int8))
    spread = np.stack([np.arange(17) % 4 * 60 + 30.0, np.arange(17) // 4 * 60 + 40.0], axis=-1)[None]
    three = {**MASK, "min_count": 3, "max_count": 3, "min_size": 20.0, "max_size": 20.0}
    image = np.full((320, 240, 3), 100, np.uint8)
    _, after = mask_joints(image, replace(everywhere, keypoints_xy=spread), np.random.default_rng(0), **three)
    assert (after.visibility == 1).sum() == 3
    sizes = Counter()
    for seed in range(200):
        one = {**MASK, "max_count": 1}
        occluded, _ = mask_joints(image, replace(everywhere, keypoints_xy=spread), np.random.default_rng(seed), **one)
        rows, columns = np.nonzero((occluded != image).any(axis=-1))
        sizes.update([np.ptp(rows) + 1, np.ptp(columns) + 1])
    assert max(sizes) <= 40
    assert min(sizes) >= 9
    assert len(sizes) > 25


def test_fills_are_noise_flat_colours_and_patches() -> None:
    image, other = np.full((320, 240, 3), 100, np.uint8), np.zeros((50, 50, 3), np.uint8)
    other[..., 0] = 201
    instances = make_instances(np.random.default_rng(0), count=1)
    kinds = Counter()
    for seed in range(150):
        one = {**MASK, "max_count": 1}
        occluded, _ = mask_joints(image, instances, np.random.default_rng(seed), **one, other_image=other)
        colours = np.unique(occluded[(occluded != image).any(axis=-1)], axis=0)
        kinds["patch" if (colours == [201, 0, 0]).all() else "flat" if len(colours) == 1 else "noise"] += 1
    assert min(kinds[kind] for kind in ("patch", "flat", "noise")) > 30


def test_without_labelled_joints_nothing_is_masked() -> None:
    image, instances = _image(), make_instances(np.random.default_rng(0))
    unlabelled = replace(instances, visibility=instances.visibility * np.int8(0))
    occluded, after = mask_joints(image, unlabelled, np.random.default_rng(0), **MASK)
    assert occluded is image
    assert after is unlabelled


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("behind", [False, True])
def test_paste_keeps_its_invariants(seed: int, behind: bool) -> None:
    image, instances = _image(), make_instances(np.random.default_rng(seed), count=3)
    target_mask = None
    if behind:
        target_mask = np.zeros((320, 240), dtype=bool)
        target_mask[80:240, 60:180] = True
    rng = np.random.default_rng(seed)
    occluded, after = paste_instance(image, instances, _cutouts(), rng, **PASTE, target_mask=target_mask)
    if occluded is image:
        assert after is instances
        return
    old = Instances(*(value[:3] for value in vars(after).values()))
    pasted = Instances(*(value[3:] for value in vars(after).values()))
    assert (RANK[old.visibility] <= RANK[instances.visibility]).all()
    # The target keeps every label; at most 80 % of them are covered.
    covered = old.occluder[0] == Occluder.PERSON
    assert ((old.visibility[0] > 0) == (instances.visibility[0] > 0)).all()
    assert (old.keypoints_xy[0] == instances.keypoints_xy[0]).all()
    assert covered.sum() <= 0.8 * (instances.visibility[0] > 0).sum()
    # Other instances lose their covered labels and no others.
    removed = (old.visibility[1:] == 0) & (instances.visibility[1:] > 0)
    assert (old.visibility[1:][~removed] == instances.visibility[1:][~removed]).all()
    assert (old.keypoints_xy[1:][removed] == 0).all()
    changed = (occluded != image).any(axis=-1)
    assert at(changed, instances.keypoints_xy[0][covered]).mean() > 0.9 if covered.any() else True
    # The pasted instance has source PASTED, is unlabelled outside, and occluded behind the target's pixels only.
    assert pasted.visibility.shape == (1, 17)
    labelled = pasted.visibility > 0
    assert (pasted.visibility_source == np.where(labelled, Source.PASTED, Source.NONE)).all()
    assert (pasted.keypoints_xy[~labelled] == 0).all()
    assert at(np.ones((320, 240), dtype=bool), pasted.keypoints_xy).all()
    occluded = pasted.occluder == Occluder.PERSON
    assert not occluded.any() or (target_mask is not None and at(target_mask, pasted.keypoints_xy[occluded]).all())


def test_instances_are_pasted_in_front_and_behind() -> None:
    image, instances = np.zeros((320, 240, 3), np.uint8), make_instances(np.random.default_rng(0))
    body = np.ones((320, 240), dtype=bool)
    touched = [
        (paste_instance(image, instances, _cutouts(), np.random.default_rng(n), **PASTE, target_mask=body)[0] > 0).any()
        for n in range(60)
    ]
    assert 15 < sum(touched) < 45


def test_pasted_joints_follow_the_pasted_pixels() -> None:
    cutout = make_cutout(np.random.default_rng(0), height=120, width=120)
    rgba = np.zeros((120, 120, 4), np.uint8)
    rgba[..., 3] = 255
    rgba[28:33, 78:83, :3] = 255
    lit = replace(cutout, rgba=rgba, keypoints_xy=np.tile([80.0, 30.0], (17, 1)))
    instances = make_instances(np.random.default_rng(0), count=1)
    for seed in range(30):
        image = np.zeros((320, 240, 3), np.uint8)
        rng = np.random.default_rng(seed)
        occluded, after = paste_instance(
            image, instances, [lit], rng, **{**PASTE, "max_covered": 1.0}, body_diagonal=200.0
        )
        weights = occluded[..., 0].astype(float)
        if after.visibility[1, 0] == 0 or not at(np.ones((304, 224), bool), after.keypoints_xy[1, :1] - 8)[0]:
            continue
        rows, columns = np.indices(weights.shape)
        centroid = np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()
        assert np.abs(centroid - after.keypoints_xy[1, 0]).max() < 0.3


def test_size_is_nine_tenths_of_the_body_times_the_scale() -> None:
    square = make_cutout(np.random.default_rng(0), height=100, width=100)
    opaque = replace(square, rgba=np.full((100, 100, 4), 255, np.uint8))
    instances, center_xywh = make_instances(np.random.default_rng(0), count=1), np.array([100.0, 100, 0, 0])
    sides = []
    for seed in range(40):
        image, _ = paste_instance(
            np.zeros((320, 240, 3), np.uint8), instances, [opaque], np.random.default_rng(seed),
            min_scale=0.7, max_scale=1.3, max_rotation=0.0, max_covered=1.0, body_diagonal=100.0,
            center_xywh=center_xywh,
        )  # fmt: skip
        sides.append(np.sqrt((image[..., 0] > 127).sum()))
    diagonals = np.array(sides) * np.sqrt(2)
    assert 0.9 * 70 - 2 < diagonals.min() < 0.9 * 80
    assert 0.9 * 120 < diagonals.max() < 0.9 * 130 + 2


@pytest.mark.parametrize("order", ["mask, paste", "paste, mask", "mask, mask", "paste, paste"])
def test_both_together_never_cover_more_than_eighty_percent(order: str) -> None:
    """On a small target, which is easily covered, and some of whose joints are already occluded."""
    image, pool, ratios = _image(), _cutouts(), []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        instances = make_instances(rng, count=2)
        near = np.where(instances.visibility[..., None] > 0, instances.keypoints_xy / 8 + 100, 0.0)
        occluder_before = rng.choice([0, 0, 0, 1, 2, 3], (2, 17)).astype(np.int8) * (instances.visibility == 1)
        before = instances = replace(instances, keypoints_xy=near, occluder=occluder_before)
        for step in order.split(", "):
            if step == "mask":
                _, instances = mask_joints(image, instances, rng, other_image=image)
            else:
                _, instances = paste_instance(image, instances, pool, rng, center_xywh=np.array([100.0, 100, 30, 40]))
        labelled = (instances.visibility[0] > 0).sum()
        ratios.append(covered_joints(instances).sum() / labelled)
        changed = (instances.visibility[0] != before.visibility[0]) | (instances.occluder[0] != before.occluder[0])
        assert covered_joints(instances)[changed].all()
    assert max(ratios) <= 0.8
    assert np.mean(np.array(ratios) > 0.6) > 0.2


def test_the_only_joint_is_not_covered_and_no_joint_beyond_the_limit() -> None:
    image, instances = _image(), make_instances(np.random.default_rng(0), count=1)
    one_joint = replace(instances, visibility=np.eye(17, dtype=np.int8)[:1] * np.int8(2))
    occluder = np.full((1, 17), Occluder.PERSON, np.int8)
    occluded = replace(instances, visibility=np.ones((1, 17), np.int8), occluder=occluder)
    for few in (one_joint, occluded):
        for seed in range(10):
            rng = np.random.default_rng(seed)
            assert mask_joints(image, few, rng) == (image, few)
            _, after = paste_instance(image, few, _cutouts(), rng)
            assert after is few or not covered_joints(after).any()


def test_defaults_are_the_papers() -> None:
    image, instances = _image(), make_instances(np.random.default_rng(0))
    for plain, defaults in ((mask_joints, MASK), (partial(paste_instance, pool=_cutouts()), PASTE)):
        by_default = plain(image, instances, rng=np.random.default_rng(3))
        assert _bytes(*by_default) == _bytes(*plain(image, instances, rng=np.random.default_rng(3), **defaults))
        assert by_default[0] is not image


def test_instances_of_the_same_image_are_avoided_if_there_are_others() -> None:
    rng = np.random.default_rng(0)
    same_image = [replace(cutout, image_path="me.png") for cutout in _cutouts()]
    other = make_cutout(rng, 7, "other.png")
    white = replace(other, rgba=np.full((120, 60, 4), 255, np.uint8))
    instances, black = make_instances(rng, count=1), np.zeros((320, 240, 3), np.uint8)
    no_limit = {**PASTE, "max_covered": 1.0}
    for seed in range(20):
        pool = [*same_image, white]
        image, _ = paste_instance(black, instances, pool, np.random.default_rng(seed), **no_limit, image_path="me.png")
        assert set(np.unique(image[image.any(axis=-1)], axis=0)[-1]) == {255}
    image, _ = paste_instance(black, instances, same_image, np.random.default_rng(0), **no_limit, image_path="me.png")
    assert image.any()


def test_same_seed_same_bytes_and_inputs_are_unchanged() -> None:
    image, instances = _image(), make_instances(np.random.default_rng(0))
    before = _bytes(image, instances)

    def twice(seed: int) -> bytes:
        rng = np.random.default_rng(seed)
        masked = mask_joints(image, instances, rng, **MASK, other_image=_image(1))
        return _bytes(*paste_instance(*masked, _cutouts(), rng, **PASTE))

    assert twice(3) == twice(3)
    assert twice(3) != twice(4)
    assert _bytes(image, instances) == before


def test_a_pool_file_and_a_list_give_the_same(tmp_path: Path) -> None:
    write_pool(tmp_path / "pool.arrow", _cutouts(), COCO17)
    image, instances = _image(), make_instances(np.random.default_rng(0))
    one = paste_instance(image, instances, Pool(tmp_path / "pool.arrow"), np.random.default_rng(0), **PASTE)
    other = paste_instance(image, instances, _cutouts(), np.random.default_rng(0), **PASTE)
    assert _bytes(*one) == _bytes(*other)


def test_empty_pool_is_an_error(tmp_path: Path) -> None:
    write_pool(tmp_path / "pool.arrow", [], COCO17)
    image, instances = _image(), make_instances(np.random.default_rng(0))
    with pytest.raises(UserError) as error:
        paste_instance(image, instances, Pool(tmp_path / "pool.arrow"), np.random.default_rng(0), **PASTE)
    assert str(error.value) == (
        f"{tmp_path}/pool.arrow: the instance pool is empty; loosen `pool` in params.yaml "
        "or set cache.paste_instance.p to 0"
    )


def test_a_pool_with_another_number_of_joints_is_refused() -> None:
    cutout = make_cutout(np.random.default_rng(0))
    fewer = replace(cutout, keypoints_xy=cutout.keypoints_xy[:14], visibility=cutout.visibility[:14])
    with pytest.raises(
        UserError, match="the pool's instances have another number of joints: expected 17, got 14; build the pool from"
    ):
        paste_instance(_image(), make_instances(np.random.default_rng(0)), [fewer], np.random.default_rng(0), **PASTE)
