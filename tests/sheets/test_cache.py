from pathlib import Path

import cv2
import numpy as np

from dag.cache.shards import Shards
from dag.sheets.cache import OTHERS, write_cache_sheet
from dag.sheets.drawing import OCCLUDED, VISIBLE
from tests.cache.test_build import _cache
from tests.makers import make_toy_set


def test_the_sheet_shows_persons_with_their_joints(tmp_path: Path) -> None:
    make_toy_set(tmp_path)
    for path in (tmp_path / "images").iterdir():
        cv2.imwrite(str(path), np.zeros((120, 160, 3), np.uint8))
    _cache(tmp_path, "cache")
    write_cache_sheet(tmp_path / "out/sheet.jpg", tmp_path / "cache", persons=5)
    sheet = cv2.imread(str(tmp_path / "out/sheet.jpg"), cv2.IMREAD_COLOR_RGB)
    width, height = Shards(tmp_path / "cache").canvas_wh
    assert sheet.shape[0] % (3 * height + 2 + 18) == 0
    assert sheet.shape[1] % (3 * (3 * width + 2)) == 0
    for colour in (VISIBLE, OCCLUDED, OTHERS):
        assert (np.abs(sheet.astype(int) - colour).max(axis=-1) < 60).any()
