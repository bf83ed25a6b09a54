"""Affine maps: a lit pixel stays on its joint, the inverse inverts, and the maps agree with HRNet's code."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from dag.geometry import (
    apply_affine,
    compose,
    crop_from_box,
    input_from_image,
    inside_image,
    invert,
    mirror,
)

INPUT_WH = (192, 256)


def _random_crop(rng: np.random.Generator) -> np.ndarray:
    box = np.array([*rng.uniform(20, 100, 2), *rng.uniform(80, 200, 2)])
    center, size = crop_from_box(box, INPUT_WH)
    return input_from_image(center, size, INPUT_WH, rotation=rng.uniform(-90, 90))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("flipped", [False, True])
def test_lit_pixel_stays_on_its_joint(seed: int, flipped: bool) -> None:
    rng = np.random.default_rng(seed)
    affine = _random_crop(rng)
    if flipped:
        affine = compose(mirror(INPUT_WH[0]), affine)
    joint = np.round(apply_affine(invert(affine), rng.uniform(40, 150, 2)))
    image = np.zeros((400, 400), np.float32)
    x, y = joint.astype(int)
    if not inside_image(joint[None], 399, 399)[0]:
        pytest.fail("the joint of this test must be inside the image")
    image[y, x] = 255
    image = cv2.GaussianBlur(image, (0, 0), 2)
    warped = cv2.warpAffine(image, affine, INPUT_WH, flags=cv2.INTER_LINEAR).astype(float)
    rows, columns = np.mgrid[: INPUT_WH[1], : INPUT_WH[0]]
    centroid = np.array([(columns * warped).sum(), (rows * warped).sum()]) / warped.sum()
    np.testing.assert_allclose(centroid, apply_affine(affine, joint), atol=0.1)


@pytest.mark.parametrize("seed", range(8))
def test_inverse(seed: int) -> None:
    rng = np.random.default_rng(seed)
    affine = _random_crop(rng)
    points = rng.uniform(-50, 700, (3, 5, 2))
    np.testing.assert_allclose(apply_affine(invert(affine), apply_affine(affine, points)), points, atol=1e-9)
    np.testing.assert_allclose(compose(invert(affine), affine), np.eye(2, 3), atol=1e-12)


def test_box_fills_the_input_up_to_its_padding() -> None:
    center, size = crop_from_box(np.array([10.0, 20.0, 60.0, 80.0]), INPUT_WH, padding=1.25)
    corners = apply_affine(input_from_image(center, size, INPUT_WH), np.array([[10.0, 20.0], [70.0, 100.0]]))
    np.testing.assert_allclose(corners, [[19.2, 25.6], [172.8, 230.4]])


def test_mirror_twice_is_identity() -> None:
    np.testing.assert_allclose(compose(mirror(192), mirror(192)), np.eye(2, 3))
    np.testing.assert_allclose(apply_affine(mirror(192), np.array([0.0, 7.0])), [191.0, 7.0])


def test_agrees_with_hrnet(real_data: Path) -> None:
    """golden/hrnet_affine.npz has results of HRNet's get_affine_transform, which computes in float32."""
    golden = np.load(real_data / "golden" / "hrnet_affine.npz")
    for i in range(len(golden["rotation"])):
        center, size = golden["center"][i].astype(float), golden["scale"][i].astype(float) * 200
        affine = input_from_image(center, size, INPUT_WH, float(golden["rotation"][i]))
        corners = apply_affine(invert(affine), np.array([[0.0, 0.0], [191.0, 0.0], [0.0, 255.0]]))
        np.testing.assert_allclose(apply_affine(golden["input_to_image"][i], np.array([[0.0, 0], [191, 0], [0, 255]])),
                                   corners, atol=2e-3)  # fmt: skip
        np.testing.assert_allclose(affine, golden["image_to_input"][i], rtol=1e-4, atol=1e-3)


def test_inside_image_includes_half_a_pixel() -> None:
    xy = np.array([[-0.4, 0.0], [-0.6, 0.0], [9.4, 3.0], [9.6, 3.0]])
    assert inside_image(xy, 10, 5).tolist() == [True, False, True, False]
