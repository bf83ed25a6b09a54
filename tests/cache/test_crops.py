import cv2
import numpy as np
import pytest

from dag.annotation import Occluder
from dag.cache.crops import canvas_from_box, canvas_size, is_trainable, render_person, unlabelled_region
from dag.geometry import apply_affine, compose, crop_from_box, input_from_image
from tests.makers import make_cutout, make_person

MASK = {"p": 0.5, "min_count": 1, "max_count": 8, "min_size": 5.0, "max_size": 20.0}
PASTE = {"p": 0.5, "min_scale": 0.7, "max_scale": 1.3, "max_rotation": 45.0, "max_covered": 0.8}
INPUT, CANVAS = (96, 128), (120, 160)


def _render(image=None, person=None, others=(), mask=MASK, paste=PASTE, variants=4, seed=1):
    rng = np.random.default_rng(0)
    person = make_person(rng, 5, 1, (40, 20, 50, 80)) if person is None else person
    image = rng.integers(0, 256, (120, 160, 3), dtype=np.uint8) if image is None else image
    return render_person(
        image, person, list(others), [make_cutout(rng, n) for n in range(3)],
        unlabelled=unlabelled_region([person, *others]), other_image=image[::-1].copy(),
        input_wh=INPUT, canvas_wh=CANVAS, variants=variants, mask=mask, paste=paste, seed=seed,
    )  # fmt: skip


@pytest.mark.parametrize("input_wh", [(96, 128), (192, 256), (288, 384)])
@pytest.mark.parametrize("margin", [1.0, 1.25, 1.33, 2.0])
def test_canvas_is_about_the_margin_and_the_input_lies_on_whole_pixels(input_wh: tuple, margin: float) -> None:
    canvas_wh = np.array(canvas_size(input_wh, margin))
    assert (np.abs(canvas_wh - np.array(input_wh) * margin) <= 4).all()
    assert (canvas_wh % 8 == 0).all()
    assert ((canvas_wh - input_wh) % 2 == 0).all()


def test_input_is_the_middle_of_the_canvas() -> None:
    box = np.array([40.0, 20, 50, 80])
    canvas = canvas_from_box(box, INPUT, CANVAS)
    shift = np.array([[1.0, 0, -(CANVAS[0] - INPUT[0]) / 2], [0, 1.0, -(CANVAS[1] - INPUT[1]) / 2]])
    assert np.allclose(compose(shift, canvas), input_from_image(*crop_from_box(box, INPUT), INPUT))


def test_a_lit_pixel_stays_at_its_joint() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        x, y = rng.integers(45, 85), rng.integers(25, 95)
        image = np.zeros((120, 160, 3), np.uint8)
        image[y, x] = 255
        person = make_person(rng, 5, 1, (40, 20, 50, 80))
        person.keypoints_xy[3], person.visibility[3] = (x, y), 2
        crop = _render(image, person, variants=0)[0]
        weights = crop.image[..., 0].astype(float)
        rows, columns = np.indices(weights.shape)
        centroid = np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()
        assert np.abs(centroid - crop.keypoints_xy[0, 3]).max() < 0.1
        assert np.allclose(crop.keypoints_xy[0, 3], apply_affine(crop.canvas_from_image, np.array([[x, y]], float))[0])


def test_variants_are_occluded_and_the_first_is_clean() -> None:
    crops = _render()
    assert [crop.variant for crop in crops] == [0, 1, 2, 3, 4]
    assert (crops[0].occluder == Occluder.UNKNOWN).all()
    for crop in crops[1:]:
        assert (crop.image != crops[0].image).any()
        assert ((crop.visibility[0] > 0) == (crops[0].visibility[0] > 0)).all()
        assert (crop.visibility[0] <= crops[0].visibility[0]).all()


def test_occlusion_is_drawn_until_one_is_applied() -> None:
    rare = {**MASK, "p": 0.3}
    crops = _render(mask=rare, paste={**PASTE, "p": 0.0}, variants=12)
    assert all((crop.image != crops[0].image).any() for crop in crops[1:])


def test_without_any_occlusion_all_variants_are_clean() -> None:
    crops = _render(mask={**MASK, "p": 0.0}, paste={**PASTE, "p": 0.0}, variants=2)
    assert all((crop.image == crops[0].image).all() for crop in crops)


def test_renderings_are_determined_by_seed_person_and_variant() -> None:
    one, two, other = _render(seed=1), _render(seed=1), _render(seed=2)
    assert all((a.image == b.image).all() for a, b in zip(one, two))
    assert all((a.image != b.image).any() for a, b in zip(one[1:], other[1:]))
    assert (_render(variants=2)[2].image == one[2].image).all()


def test_labelled_persons_with_joints_in_the_canvas_are_in_the_crop() -> None:
    rng = np.random.default_rng(0)
    near = make_person(rng, 2, 1, (60, 30, 30, 50))
    far = make_person(rng, 3, 1, (155, 0, 4, 4))
    unlabelled = make_person(rng, 4, 1, (60, 30, 30, 50), labelled=False)
    crowd = make_person(rng, 6, 1, (60, 30, 30, 50), is_crowd=True)
    crop = _render(others=[far, unlabelled, near, crowd], variants=0)[0]
    assert len(crop.visibility) == 2
    assert (crop.visibility[1] == near.visibility).all()
    assert np.allclose(crop.keypoints_xy[1], apply_affine(crop.canvas_from_image, near.keypoints_xy))


def test_joints_outside_the_canvas_are_unlabelled() -> None:
    rng = np.random.default_rng(0)
    person = make_person(rng, 5, 1, (10, 20, 30, 50))
    person.keypoints_xy[2] = (150, 60)
    crop = _render(person=person, variants=0)[0]
    assert crop.visibility[0, 2] == 0
    assert crop.keypoints_xy[0, 2].tolist() == [0, 0]


@pytest.mark.parametrize("mask", [True, False])
def test_ignored_blocks_are_those_of_unlabelled_persons(mask: bool) -> None:
    rng = np.random.default_rng(0)
    unlabelled = make_person(rng, 4, 1, (20, 40, 20, 30), labelled=False, mask=mask)
    crop = _render(others=[unlabelled], variants=0)[0]
    corners = apply_affine(crop.canvas_from_image, np.array([[19.5, 39.5], [39.5, 69.5]]))
    ignored = cv2.resize(crop.ignore, CANVAS, interpolation=cv2.INTER_NEAREST).astype(bool)
    rows, columns = np.nonzero(ignored)
    assert np.abs(np.array([columns.min(), rows.min()]) - corners[0]).max() <= 4
    assert np.abs(np.array([columns.max(), rows.max()]) - corners[1]).max() <= 4
    assert not _render(variants=0)[0].ignore.any()


def test_trainable_persons_have_labels_and_a_box_and_are_no_crowd() -> None:
    rng = np.random.default_rng(0)
    assert is_trainable(make_person(rng, 1, 1, (10, 10, 20, 20)))
    assert not is_trainable(make_person(rng, 1, 1, (10, 10, 20, 20), labelled=False))
    assert not is_trainable(make_person(rng, 1, 1, (10, 10, 20, 20), is_crowd=True))
    empty = make_person(rng, 1, 1, (10, 10, 20, 20))
    empty.bbox_xywh[2] = 0
    assert not is_trainable(empty)
