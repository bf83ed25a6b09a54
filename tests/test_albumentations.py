"""The wrappers in a foreign `A.Compose`, beside albumentations' own transforms."""

import albumentations as A
import numpy as np
import pytest

from dag.data.albumentations import InstancePaste, MaskJoints
from dag.errors import UserError
from dag.person import Occluder, Source
from dag.skeleton import COCO17
from tests.makers import make_cutout, make_people

FIELDS = ["visibility", "visibility_source", "occluder", "joint"]


def _sample(people: int = 2) -> dict:
    rng = np.random.default_rng(0)
    crop = make_people(rng, people)
    return {
        "image": rng.integers(0, 256, (320, 240, 3), dtype=np.uint8),
        "mask": np.ones((320, 240), np.uint8),
        "keypoints": crop.keypoints_xy.reshape(-1, 2).astype(np.float32),
        "visibility": crop.visibility.ravel(),
        "visibility_source": crop.visibility_source.ravel(),
        "occluder": crop.occluder.ravel(),
        "joint": list(COCO17.joints) * people,
    }


def _compose(*transforms: A.BasicTransform, seed: int = 1, fields: list[str] = FIELDS) -> A.Compose:
    keypoints = A.KeypointParams("xy", label_fields=fields, remove_invisible=False)
    return A.Compose(list(transforms), keypoint_params=keypoints, seed=seed)


def _pool() -> list:
    rng = np.random.default_rng(5)
    return [make_cutout(rng, number) for number in range(3)]


def test_mask_joints_hides_and_keeps_every_keypoint() -> None:
    sample = _sample()
    out = _compose(MaskJoints(17, p=1.0))(**sample)
    assert np.allclose(out["keypoints"], sample["keypoints"])
    hidden = (np.array(out["visibility"]) == 1) & (sample["visibility"] == 2)
    assert hidden.any()
    assert (np.array(out["visibility_source"])[hidden] == Source.PASTED).all()
    assert (np.array(out["occluder"])[hidden] == Occluder.OBJECT).all()
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


def test_randomness_is_the_composes() -> None:
    def run(seed: int) -> bytes:
        return _compose(MaskJoints(17, p=1.0), InstancePaste(_pool(), 17, p=1.0), seed=seed)(**_sample())[
            "image"
        ].tobytes()

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_between_foreign_transforms_a_lit_pixel_stays_at_its_joint() -> None:
    sample = _sample(people=1)
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


def test_visibility_has_to_be_there() -> None:
    sample = {name: value for name, value in _sample().items() if name in ("image", "keypoints", "joint")}
    with pytest.raises(
        UserError, match="MaskJoints: keypoints without visibility: expected a label field 'visibility'"
    ):
        _compose(MaskJoints(17, p=1.0), fields=["joint"])(**sample)


def test_keypoints_have_to_be_whole_people() -> None:
    sample = {name: value[:-1] if name in [*FIELDS, "keypoints"] else value for name, value in _sample().items()}
    with pytest.raises(UserError, match="not whole people: expected a multiple of 17, at least one person, got 33"):
        _compose(MaskJoints(17, p=1.0))(**sample)


def test_arguments_are_listed_in_the_repr() -> None:
    assert "max_size=25" in repr(MaskJoints(17, max_size=25.0))
