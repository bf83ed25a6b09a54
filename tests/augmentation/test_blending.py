import cv2
import numpy as np
import pytest

from dag.augmentation.blending import blend
from dag.geometry import apply_affine


def _map(scale: float, rotation: float, offset: tuple[float, float]) -> np.ndarray:
    sine, cosine = np.sin(np.deg2rad(rotation)), np.cos(np.deg2rad(rotation))
    return np.column_stack([scale * np.array([[cosine, -sine], [sine, cosine]]), offset])


def _reference(image: np.ndarray, rgba: np.ndarray, affine: np.ndarray, nearer: np.ndarray) -> np.ndarray:
    """Reference: a blend of the whole image in floating point."""
    warped = cv2.warpAffine(rgba.astype(np.float32), affine, image.shape[1::-1])
    alpha = warped[..., 3:] / 255 * ~nearer[..., None]
    return image * (1 - alpha) + warped[..., :3] * alpha


@pytest.mark.parametrize(
    ("scale", "rotation", "offset"), [(1, 0, (20, 30)), (0.8, 30, (40, 10)), (1.6, -45, (-20, 50))]
)
def test_agrees_with_a_float_blend_of_the_whole_image(scale: float, rotation: float, offset: tuple) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (100, 80, 3), dtype=np.uint8)
    rgba = cv2.GaussianBlur(rng.integers(0, 256, (50, 30, 4), dtype=np.uint8), (5, 5), 0)
    nearer = np.zeros((100, 80), dtype=bool)
    nearer[:, 40:] = True
    affine = _map(scale, rotation, offset)
    difference = np.abs(blend(image, rgba, affine, nearer) - _reference(image, rgba, affine, nearer))
    assert difference.mean() < 0.5
    assert difference.max() <= 4
    nothing = np.zeros_like(nearer)
    assert (blend(image, rgba, affine) == blend(image, rgba, affine, nothing)).all()


def test_nearer_pixels_and_those_under_transparent_ones_do_not_change() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (60, 60, 3), dtype=np.uint8)
    before = image.copy()
    rgba = np.full((40, 40, 4), 255, np.uint8)
    rgba[20:, :, 3] = 0
    nearer = np.zeros((60, 60), dtype=bool)
    nearer[:15] = True
    after = blend(image, rgba, _map(1, 0, (10, 10)), nearer)
    assert (after[15:30, 10:50] == 255).all()
    changed = np.zeros((60, 60), dtype=bool)
    changed[15:30, 10:50] = True
    assert (after[~changed] == image[~changed]).all()
    assert (image == before).all()


@pytest.mark.parametrize("scale", [0.2, 0.45, 1.0, 2.0])
@pytest.mark.parametrize("rotation", [-45, 0, 30])
def test_a_lit_spot_stays_at_its_joint(scale: float, rotation: float) -> None:
    joint = np.array([70.0, 40.0])
    rgba = np.zeros((160, 120, 4), np.uint8)
    rgba[..., 3] = 255
    side = max(1, round(1 / scale))
    rgba[40 - side : 41 + side, 70 - side : 71 + side, :3] = 255
    affine = _map(scale, rotation, (60.0, 60.0))
    image = blend(np.zeros((320, 320, 3), np.uint8), rgba, affine, np.zeros((320, 320), dtype=bool))
    weights = image[..., 0].astype(float)
    rows, columns = np.indices(weights.shape)
    centroid = np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()
    assert np.abs(centroid - apply_affine(affine, joint)).max() < 0.25


def test_large_cutouts_are_averaged() -> None:
    stripes = np.zeros((200, 200, 4), np.uint8)
    stripes[..., 3] = 255
    stripes[::2, :, :3] = 255
    image = blend(np.zeros((60, 60, 3), np.uint8), stripes, _map(0.2, 0, (10, 10)), np.zeros((60, 60), dtype=bool))
    assert np.abs(image[15:45, 15:45].astype(float) - 127.5).max() < 30


def test_a_cutout_outside_the_crop_changes_nothing() -> None:
    image = np.full((20, 20, 3), 7, np.uint8)
    away = blend(image, np.full((5, 5, 4), 255, np.uint8), _map(1, 0, (100, 100)), np.zeros((20, 20), dtype=bool))
    assert (away == image).all()
