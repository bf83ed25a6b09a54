"""`MaskJoints` and `InstancePaste` in an `A.Compose`, together with Albumentations' own transforms."""

import pickle

import albumentations as A
import numpy as np
import pytest

from dag.annotation import Occluder, Source
from dag.augmentation.albumentations import InstancePaste, MaskJoints
from dag.errors import UserError
from dag.pool.pool import Pool, write_pool
from dag.skeleton import COCO17
from tests.makers import make_cutout, make_instances

FIELDS = ["visibility", "visibility_source", "occluder", "joint"]


def _sample(persons: int = 2) -> dict:
    rng = np.random.default_rng(0)
    instances = make_instances(rng, persons)
    return {
        "image": rng.integers(0, 256, (320, 240, 3), dtype=np.uint8),
        "mask": np.ones((320, 240), np.uint8),
        "keypoints": instances.keypoints_xy.reshape(-1, 2).astype(np.float32),
        "visibility": instances.visibility.ravel(),
        "visibility_source": instances.visibility_source.ravel(),
        "occluder": instances.occluder.ravel(),
        "joint": list(COCO17.joints) * persons,
    }


def _compose(*transforms: A.BasicTransform, seed: int = 1, fields: list[str] = FIELDS) -> A.Compose:
    keypoints = A.KeypointParams("xy", label_fields=fields, remove_invisible=False)
    return A.Compose(list(transforms), keypoint_params=keypoints, seed=seed)


def _pool() -> list:
    rng = np.random.default_rng(5)
    return [make_cutout(rng, number) for number in range(3)]


def test_mask_joints_occludes_and_keeps_every_keypoint() -> None:
    sample = _sample()
    out = _compose(MaskJoints(17, p=1.0))(**sample)
    assert np.allclose(out["keypoints"], sample["keypoints"])
    occluded = (np.array(out["visibility"]) == 1) & (sample["visibility"] == 2)
    assert occluded.any()
    assert (np.array(out["visibility_source"])[occluded] == Source.PASTED).all()
    assert (np.array(out["occluder"])[occluded] == Occluder.OBJECT).all()
    changed = (out["image"] != sample["image"]).any(axis=-1)
    assert (out["mask"] == ~changed).all()
    assert list(out["joint"]) == sample["joint"]


def test_instance_paste_appends_a_person() -> None:
    sample = _sample()
    out = _compose(InstancePaste(_pool(), 17, p=1.0))(**sample)
    assert len(out["keypoints"]) == 3 * 17
    assert list(out["joint"]) == list(COCO17.joints) * 3
    assert set(np.array(out["visibility_source"])[-17:]) <= {Source.PASTED, Source.NONE}
    assert (out["mask"] == 0).any()


def test_randomness_comes_from_the_compose() -> None:
    def run(seed: int) -> bytes:
        return _compose(MaskJoints(17, p=1.0), InstancePaste(_pool(), 17, p=1.0), seed=seed)(**_sample())[
            "image"
        ].tobytes()

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_between_other_transforms_a_lit_pixel_stays_at_its_joint() -> None:
    sample = _sample(persons=1)
    pool = [make_cutout(np.random.default_rng(0))]
    pool[0].rgba[..., :3] = 0
    image = np.zeros((320, 240, 3), np.uint8)
    xy = np.tile([[120.0, 160.0]], (17, 1)).astype(np.float32)
    xy[0] = (37, 51)
    image[51, 37] = 255
    sample.update(image=image, keypoints=xy, visibility=np.full(17, 2, np.int8))
    away = {"min_scale": 0.1, "max_scale": 0.2}
    chain = [A.HorizontalFlip(p=1.0), InstancePaste(pool, 17, p=1.0, **away), A.VerticalFlip(p=1.0)]
    out = _compose(*chain)(**sample)
    row, column = np.unravel_index(out["image"][..., 0].argmax(), (320, 240))
    assert out["keypoints"][0].tolist() == [column, row] == [239 - 37, 319 - 51]


@pytest.mark.parametrize("transform", [MaskJoints(17, p=1.0), InstancePaste(_pool(), 17, p=1.0)])
def test_p_zero_does_nothing(transform: A.DualTransform) -> None:
    transform.p = 0
    sample = _sample()
    assert (_compose(transform)(**sample)["image"] == sample["image"]).all()


@pytest.mark.parametrize(
    ("params", "got"),
    [
        ({"label_fields": ["joint"], "remove_invisible": False}, r"label_fields=\['joint'\], remove_invisible=False"),
        ({"label_fields": ["visibility"]}, r"label_fields=\['visibility'\], remove_invisible=True"),
        (None, r"label_fields=\[\], remove_invisible=False"),
    ],
)
def test_visibility_is_required_and_invisible_keypoints_must_stay(params: dict | None, got: str) -> None:
    sample = _sample()
    sample = {name: sample[name] for name in ("image", "keypoints", "joint", "visibility")}
    pipeline = A.Compose([MaskJoints(17, p=1.0)], keypoint_params=params and A.KeypointParams("xy", **params))
    expected = r'expected KeypointParams\(..., label_fields=\["visibility"\], remove_invisible=False\), got ' + got
    with pytest.raises(
        UserError, match="MaskJoints: keypoints without visibility, or with invisible ones removed: " + expected
    ):
        pipeline(**sample)


@pytest.mark.parametrize(
    ("image", "got"),
    [
        (np.zeros((320, 240), np.uint8), r"uint8 \(320, 240\)"),
        (np.zeros((320, 240, 3), np.float32), r"float32 \(320, 240, 3\)"),
    ],
)
def test_images_have_to_be_rgb(image: np.ndarray, got: str) -> None:
    expected = (
        f"InstancePaste: not an RGB image: expected uint8 height x width x 3, got {got}; put it before A.Normalize"
    )
    with pytest.raises(UserError, match=expected):
        _compose(InstancePaste(_pool(), 17, p=1.0))(**{**_sample(), "image": image})


def test_an_image_without_persons_does_not_change() -> None:
    sample = {name: value[:0] if name in [*FIELDS, "keypoints"] else value for name, value in _sample().items()}
    out = _compose(MaskJoints(17, p=1.0), InstancePaste(_pool(), 17, p=1.0))(**sample)
    assert (out["image"] == sample["image"]).all()
    assert len(out["keypoints"]) == 0


def test_boxes_do_not_change_and_masks_lose_covered_pixels() -> None:
    sample = _sample()
    masks = np.stack([np.full((320, 240), level, np.uint8) for level in (1, 7, 9)])
    boxes = np.array([[10.0, 20, 100, 200], [50, 60, 200, 300]])
    pipeline = A.Compose(
        [MaskJoints(17, p=1.0), InstancePaste(_pool(), 17, p=1.0)],
        keypoint_params=A.KeypointParams("xy", label_fields=FIELDS, remove_invisible=False),
        bbox_params=A.BboxParams("pascal_voc", label_fields=["box_id"]),
        seed=2,
    )
    out = pipeline(**sample, masks=masks, bboxes=boxes, box_id=[3, 4])
    assert np.allclose(out["bboxes"], boxes, atol=1e-3)
    assert list(out["box_id"]) == [3, 4]
    covered = out["mask"] == 0
    assert 0.02 < covered.mean() < 0.98
    for before, after in zip(masks, out["masks"]):
        assert (after == np.where(covered, 0, before)).all()


@pytest.mark.parametrize("level", [0, 255])
def test_masks_have_no_holes_where_colours_of_occluder_and_image_are_equal(level: int) -> None:
    sample, cutout = _sample(), make_cutout(np.random.default_rng(5))
    cutout.rgba[..., :3] = level
    pipeline = _compose(InstancePaste([cutout], 17, p=1.0))
    expected = pipeline(**sample)["mask"]
    pipeline = _compose(InstancePaste([cutout], 17, p=1.0))
    mask = pipeline(**{**sample, "image": np.full_like(sample["image"], level)})["mask"]
    assert (mask == expected).all()
    assert (mask == 0).sum() > 500


def test_further_images_get_the_same_occlusion() -> None:
    sample = _sample()
    second, depth = 255 - sample["image"], np.full((320, 240), 9, np.uint8)
    pipeline = A.Compose(
        [InstancePaste(_pool(), 17, p=1.0)],
        keypoint_params=A.KeypointParams("xy", label_fields=FIELDS, remove_invisible=False),
        additional_targets={"second": "image", "depth": "image"},
        seed=4,
    )
    out = pipeline(**sample, second=second, depth=depth)
    covered = out["mask"] == 0
    assert covered.any()
    assert (out["second"][covered] == out["image"][covered]).all()
    assert (out["second"][~covered] == second[~covered]).all()
    assert (out["depth"] == np.where(covered, 0, 9)).all()


def test_replay_applies_the_same_occlusion_to_another_image(tmp_path) -> None:
    sample = _sample()
    write_pool(tmp_path / "pool.arrow", _pool(), COCO17)
    pipeline = A.ReplayCompose(
        [A.HorizontalFlip(p=1.0), MaskJoints(17, p=1.0), InstancePaste(str(tmp_path / "pool.arrow"), 17, p=1.0)],
        keypoint_params=A.KeypointParams("xy", label_fields=FIELDS, remove_invisible=False),
    )
    out = pipeline(**sample)
    steps = out["replay"]["transforms"]
    assert [set(step["params"]) - {"shape", "cols", "rows"} for step in steps[1:]] == [{"seed"}, {"seed"}]
    again = A.ReplayCompose.replay(out["replay"], **sample)
    assert (again["image"] == out["image"]).all()
    assert list(again["visibility"]) == list(out["visibility"])
    other = A.ReplayCompose.replay(out["replay"], **{**sample, "image": 255 - sample["image"]})
    covered = out["mask"] == 0
    assert covered.any()
    assert (other["mask"] == out["mask"]).all()
    assert np.abs(other["image"][covered].astype(int) - out["image"][covered]).max() <= 127
    assert not (other["image"] == out["image"]).all()


def test_after_resize_and_rotation_the_invariants_hold_with_visibility_alone() -> None:
    sample = _sample(persons=1)
    given = {name: sample[name] for name in ("image", "keypoints")} | {"visibility": np.full(17, 2, np.int8)}
    ratios = []
    for seed in range(40):
        steps = [A.Rotate(20, p=1.0), A.Resize(256, 192), MaskJoints(17, p=1.0), InstancePaste(_pool(), 17, p=1.0)]
        out = _compose(*steps, A.Normalize(), seed=seed, fields=["visibility"])(**given)
        assert out["image"].shape == (256, 192, 3)
        assert out["image"].dtype == np.float32
        visibility = np.array(out["visibility"])[:17]
        assert set(visibility) <= {1, 2}
        ratios.append((visibility == 1).mean())
    assert min(ratios) > 0
    assert 0.4 < max(ratios) <= 0.8


def test_a_compose_with_a_pool_file_can_be_pickled(tmp_path) -> None:
    write_pool(tmp_path / "pool.arrow", _pool(), COCO17)
    pipeline = _compose(InstancePaste(Pool(tmp_path / "pool.arrow"), 17, p=1.0))
    copy = pickle.loads(pickle.dumps(pipeline))
    assert (copy(**_sample())["image"] == pipeline(**_sample())["image"]).all()


def test_keypoints_have_to_be_whole_instances() -> None:
    sample = {name: value[:-1] if name in [*FIELDS, "keypoints"] else value for name, value in _sample().items()}
    with pytest.raises(UserError, match="not whole instances: expected a multiple of 17, got 33"):
        _compose(MaskJoints(17, p=1.0))(**sample)


def test_arguments_are_listed_in_the_repr() -> None:
    assert "max_size=25" in repr(MaskJoints(17, max_size=25.0))
