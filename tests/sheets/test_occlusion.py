"""The contact sheet of occlusion is determined by the cache, the pool and the seed."""

import cv2
import numpy as np
import pytest

from dag.cache.shards import Shards
from dag.errors import UserError
from dag.pool.pool import write_pool
from dag.sheets.drawing import OCCLUDED, VISIBLE
from dag.sheets.occlusion import write_occlusion_sheet
from dag.skeleton import COCO17
from tests.makers import make_cutout


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("pool") / "pool.arrow"
    write_pool(path, (make_cutout(rng, number, f"{number}.png") for number in range(3)), COCO17)
    return path


def fraction_of(image: np.ndarray, rgb: tuple[int, int, int]) -> float:
    return float((np.abs(image[..., ::-1].astype(int) - rgb).max(axis=-1) < 60).mean())


def test_each_row_is_a_person_clean_masked_pasted_and_both(tmp_path, rendered, pool):
    for name in ("a.jpg", "b.jpg"):
        write_occlusion_sheet(tmp_path / name, rendered.cache, pool, persons=2, seed=3)
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()
    sheet = cv2.imread(str(tmp_path / "a.jpg"))
    width, height = Shards(rendered.cache).input_wh
    zoom = round(240 / width)
    assert sheet.shape == (2 * (height * zoom + 2 + 18), 4 * (width * zoom + 2), 3)
    for row in np.vsplit(sheet, 2):
        clean, masked, pasted, both = np.hsplit(row[: height * zoom], 4)
        assert fraction_of(clean, VISIBLE) > 0.001
        assert fraction_of(masked, OCCLUDED) > fraction_of(clean, OCCLUDED)
        changed = [(np.abs(clean.astype(int) - other).max(axis=-1) > 40).mean() for other in (masked, pasted, both)]
        assert min(changed) > 0.01
        # The rectangles are the same in `masked` and `both`.
        assert np.abs(masked.astype(int) - both).mean() < np.abs(clean.astype(int) - both).mean()
    write_occlusion_sheet(tmp_path / "c.jpg", rendered.cache, pool, persons=2, seed=4)
    assert (tmp_path / "a.jpg").read_bytes() != (tmp_path / "c.jpg").read_bytes()


def test_an_empty_pool_is_an_error(tmp_path, rendered):
    write_pool(tmp_path / "pool.arrow", [], COCO17, {"too small": 7})
    with pytest.raises(UserError, match=r"the instance pool is empty.*got 7 persons rejected \(too small: 7\)"):
        write_occlusion_sheet(tmp_path / "a.jpg", rendered.cache, tmp_path / "pool.arrow", persons=2, seed=3)
    assert not (tmp_path / "a.jpg").exists()
