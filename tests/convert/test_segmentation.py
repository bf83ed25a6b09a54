"""Polygons and run lengths as compressed RLE."""

from typing import Any

import numpy as np
import pycocotools.mask
import pytest

from dag.convert.segmentation import compressed_rle

# pycocotools 2.0.11 hands numpy an object whose __array__ takes no `copy`.


def test_polygons_and_both_kinds_of_run_lengths_give_the_same_mask():
    counts: Any = compressed_rle([[10, 10, 20, 10, 20, 30, 10, 30], [40, 40, 50, 40, 50, 45, 40, 45]], 60, 50)
    mask = pycocotools.mask.decode({"size": [50, 60], "counts": counts.encode()})
    assert mask[10:30, 10:20].all()
    assert mask[40:45, 40:50].all()
    assert mask.sum() == 200 + 50
    columns = mask.T.ravel()
    borders = np.flatnonzero(np.diff(columns)) + 1
    uncompressed = np.diff(np.r_[0, borders, columns.size]).tolist()
    assert compressed_rle({"size": [50, 60], "counts": uncompressed}, 60, 50) == counts
    assert compressed_rle({"size": [50, 60], "counts": counts}, 60, 50) == counts


def test_no_segmentation_is_none():
    assert compressed_rle(None, 60, 50) is None
    assert compressed_rle([], 60, 50) is None


def test_random_masks_are_accepted():
    rng = np.random.default_rng(0)
    for _ in range(50):
        mask = np.asfortranarray((rng.random((37, 23)) < rng.random()).astype(np.uint8))
        rle: Any = pycocotools.mask.encode(mask)
        counts = rle["counts"].decode()
        assert compressed_rle({"size": [37, 23], "counts": counts}, 23, 37) == counts


@pytest.mark.parametrize("shape", [(1, 1), (6, 5), (37, 23), (900, 700)])
def test_runs_that_end_early_or_late_are_refused(shape: tuple[int, int]) -> None:
    height, width = shape
    rng = np.random.default_rng(height)
    for mask in (np.zeros(shape), np.ones(shape), np.eye(*shape), rng.random(shape) < 0.5):
        rle: Any = pycocotools.mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        counts = rle["counts"].decode()
        assert compressed_rle({"size": [height, width], "counts": counts}, width, height) == counts
        for invalid in (counts[:-1], counts + "1"):
            with pytest.raises(ValueError, match=f"expected run lengths that add up to {height * width}, got "):
                compressed_rle({"size": [height, width], "counts": invalid}, width, height)


@pytest.mark.parametrize("counts", ["", "o", "5o", "~~", "0/0", "é", "o" * 30 + "0", "ZZ", 7, [3, -1], [5], None])
def test_invalid_run_lengths_are_refused(counts):
    with pytest.raises(ValueError, match=r"expected run lengths that add up to 6, got "):
        compressed_rle({"size": [2, 3], "counts": counts}, 3, 2)
