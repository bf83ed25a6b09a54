"""Windows of masks and boxes against whole decoded masks."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pycocotools.mask
import pytest

from dag.annotation import PersonAnnotation
from dag.convert.coco import read_coco
from dag.masks import decode_mask, in_box, mask_area, mask_window, union_of_masks
from dag.skeleton import COCO17
from tests.standing import HEIGHT, WIDTH, outline, standing


def whole(person: PersonAnnotation) -> np.ndarray:
    """Reference: the whole mask as pycocotools decodes it."""
    size = [person.image_height, person.image_width]
    return pycocotools.mask.decode({"size": size, "counts": person.segmentation.encode()}).astype(bool)


def with_mask(mask: np.ndarray) -> PersonAnnotation:
    """An annotation with this mask, on an image of its size."""
    counts = pycocotools.mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    return replace(standing(1, 20), image_height=mask.shape[0], image_width=mask.shape[1], segmentation=counts)


def random_masks() -> Iterator[np.ndarray]:
    """Empty and full masks, random pixels at several densities, and blocks."""
    rng = np.random.default_rng(0)
    for height, width in ((1, 1), (1, 9), (9, 1), (37, 23), (50, 64)):
        yield np.zeros((height, width), dtype=bool)
        yield np.ones((height, width), dtype=bool)
        for density in (0.01, 0.3, 0.5, 0.9, 0.99):
            yield rng.random((height, width)) < density
        block = np.zeros((height, width), dtype=bool)
        block[height // 3 : height // 3 + 9, width // 4 :] = True
        yield block


def windows(rng: np.random.Generator, height: int, width: int) -> Iterator[tuple[int, int, int, int]]:
    """Windows inside the image, across its borders, around it, and outside it."""
    yield 0, 0, width, height
    yield -3, -2, width + 7, height + 5
    yield width, 0, 5, 5
    yield 0, -9, width, 9
    for _ in range(12):
        left, top = int(rng.integers(-width, width + 2)), int(rng.integers(-height, height + 2))
        yield left, top, int(rng.integers(1, width + 4)), int(rng.integers(1, height + 4))


def check(person: PersonAnnotation, rng: np.random.Generator) -> None:
    """Check area, bounding box and windows of an annotation's mask against the whole mask."""
    mask = whole(person)
    assert mask_area(person) == mask.sum()
    far = max(mask.shape) * 3 + 9
    padded = np.pad(mask, far)
    for left, top, width, height in windows(rng, *mask.shape):
        expected = padded[top + far : top + far + height, left + far : left + far + width]
        np.testing.assert_array_equal(decode_mask(person, (left, top, width, height)), expected)
    window = mask_window(person)
    if not mask.any():
        assert window is None
        return
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert window == (columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1)


def test_windows_of_random_masks_are_exact():
    rng = np.random.default_rng(1)
    for mask in random_masks():
        check(with_mask(mask), rng)


def test_windows_of_real_masks_are_exact(real_data):
    root = real_data / "data/coco"
    rng, seen = np.random.default_rng(2), 0
    for split in ("train", "val"):
        path = root / f"annotations/person_keypoints_{split}2017.json"
        for person in read_coco(path, dataset="coco", split=split, skeleton=COCO17, image_folder=split)[0]:
            if person.segmentation is not None:
                check(person, rng)
                seen += 1
    assert seen > 300


def test_a_run_of_length_zero_changes_nothing():
    # Runs of 2 pixels outside, 3 inside, 0 outside, 4 inside, 3 outside.
    runs = pycocotools.mask.frPyObjects({"size": [4, 3], "counts": [2, 3, 0, 4, 3]}, 4, 3)
    person = replace(with_mask(np.zeros((4, 3))), segmentation=runs["counts"].decode())
    check(person, np.random.default_rng(0))
    assert mask_window(person) == (0, 0, 3, 4)


def test_masks_are_in_image_pixels():
    persons = [standing(1, 20), standing(2, 60), standing(3, 130, masked=False)]
    assert (decode_mask(persons[0]) == outline(20, 25)).all()
    assert decode_mask(persons[2]) is None
    assert mask_window(persons[2]) is None
    assert mask_area(persons[2]) == 0
    union = outline(20, 25) | outline(60, 25)
    assert (union_of_masks(persons, (0, 0, WIDTH, HEIGHT)) == union).all()
    assert (union_of_masks(persons, (30, 40, 50, 60)) == union[40:100, 30:80]).all()
    assert not union_of_masks([], (0, 0, WIDTH, HEIGHT)).any()


@pytest.mark.parametrize("window", [None, (0, 0, WIDTH, HEIGHT), (-5, 20, 60, 300)])
def test_modifying_a_decoded_mask_does_not_change_the_next(window):
    person = standing(1, 20)
    before = decode_mask(person, window)
    decode_mask(person, window)[:] = True
    np.testing.assert_array_equal(decode_mask(person, window), before)


def test_box_contains_every_pixel_that_it_overlaps():
    person = replace(standing(1, 20), bbox_xywh=np.array([10.2, 20.0, 5.0, 3.0]))
    rows, columns = np.nonzero(in_box(person, (0, 0), (HEIGHT, WIDTH)))
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (10, 16, 20, 23)
    window = in_box(person, (8, 19), (6, 9))
    assert (window == in_box(person, (0, 0), (HEIGHT, WIDTH))[19:25, 8:17]).all()
