"""Polygons and run lengths."""

from typing import Any

import numpy as np
import pycocotools.mask
import pytest

from dag.convert.segmentation import decode_counts, run_lengths

# pycocotools 2.0.11 hands numpy an object whose __array__ takes no `copy`.


def test_polygons_and_both_kinds_of_run_lengths_are_one_mask():
    counts: Any = run_lengths([[10, 10, 20, 10, 20, 30, 10, 30], [40, 40, 50, 40, 50, 45, 40, 45]], 60, 50)
    mask = pycocotools.mask.decode({"size": [50, 60], "counts": counts.encode()})
    assert mask[10:30, 10:20].all()
    assert mask[40:45, 40:50].all()
    assert mask.sum() == 200 + 50
    columns = mask.T.ravel()
    borders = np.flatnonzero(np.diff(columns)) + 1
    uncompressed = np.diff(np.r_[0, borders, columns.size]).tolist()
    assert run_lengths({"size": [50, 60], "counts": uncompressed}, 60, 50) == counts
    assert run_lengths({"size": [50, 60], "counts": counts}, 60, 50) == counts


def test_no_mask_is_none():
    assert run_lengths(None, 60, 50) is None
    assert run_lengths([], 60, 50) is None


def test_random_masks_pass_the_length_check():
    rng = np.random.default_rng(0)
    for _ in range(50):
        mask = np.asfortranarray((rng.random((37, 23)) < rng.random()).astype(np.uint8))
        runs: Any = pycocotools.mask.encode(mask)
        counts = runs["counts"].decode()
        assert run_lengths({"size": [37, 23], "counts": counts}, 23, 37) == counts


@pytest.mark.parametrize("mask", [np.zeros((6, 5)), np.ones((6, 5)), np.eye(6), np.zeros((900, 700))])
def test_counts_of_a_compressed_string_are_the_runs(mask):
    runs: Any = pycocotools.mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    flat = np.r_[0, mask.T.ravel().astype(int)]
    borders = np.flatnonzero(np.diff(flat))
    expected = np.diff(np.r_[0, borders, mask.size])
    assert decode_counts(runs["counts"].decode()).tolist() == expected.tolist()


@pytest.mark.parametrize("counts", ["", "o", "5o", "~~", "0/0", "é", "o" * 30 + "0", "ZZ", 7, [3, -1], [5], None])
def test_what_is_no_run_lengths_is_named(counts):
    with pytest.raises(ValueError, match=r"expected run lengths that add up to 6, got "):
        run_lengths({"size": [2, 3], "counts": counts}, 3, 2)
