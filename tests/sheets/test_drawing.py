"""Contact sheets: what is on them is where it should be."""

import cv2
import numpy as np

from dag.sheets.drawing import BONE, CAPTION, OCCLUDED, VISIBLE, checkerboard, write_sheet
from dag.sheets.pool import cutout_tile, write_pool_sheet
from dag.skeleton import COCO17
from tests.makers import make_cutout


def test_tile_shows_person_board_and_joints():
    cutout = make_cutout(np.random.default_rng(0))
    cutout.rgba[..., :3] = (200, 0, 200)
    tile = cutout_tile(cutout, COCO17, width=64, height=120 + 4 + CAPTION)
    assert tile.shape == (140, 64, 3)
    board = checkerboard(64, 140)
    body, joints = tile[2:122, 2:62], cutout.keypoints_xy.astype(int)
    outside = cutout.rgba[..., 3] == 0
    assert (body[outside] == board[2:122, 2:62][outside]).mean() > 0.9
    assert (body[~outside] == (200, 0, 200)).all(axis=1).mean() > 0.3
    assert tuple(body[joints[-1, 1], joints[-1, 0]]) == OCCLUDED
    alone = [joint for joint in range(16) if np.abs(joints[joint] - np.delete(joints, joint, 0)).max(1).min() > 6]
    assert alone
    assert all(tuple(body[joints[joint, 1], joints[joint, 0]]) == VISIBLE for joint in alone)
    assert (body == BONE).all(axis=2).any()


def test_half_opacity_lets_the_board_through():
    cutout = make_cutout(np.random.default_rng(0))
    cutout.rgba[..., :3], cutout.rgba[..., 3] = 255, 128
    cutout.visibility[:] = 0
    body = cutout_tile(cutout, COCO17, width=64, height=140)[2:122, 2:62].astype(int)
    expected = checkerboard(64, 140)[2:122, 2:62] * (127 / 255) + 128
    assert np.abs(body - expected).max() <= 1


def test_sheet_holds_every_tile_in_rows_and_is_the_same_each_time(tmp_path):
    tiles = [np.full((20, 30, 3), 40 * number, np.uint8) for number in range(5)]
    for name in ("a.jpg", "b.jpg"):
        write_sheet(tmp_path / name, tiles, columns=3)
    sheet = cv2.imread(str(tmp_path / "a.jpg"))
    assert sheet.shape == (40, 90, 3)
    for number in range(5):
        row, column = divmod(number, 3)
        assert abs(int(sheet[row * 20 + 10, column * 30 + 15, 0]) - 40 * number) < 3
    assert sheet[30, 75].min() > 250
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()


def test_large_pool_is_sampled_and_an_empty_one_says_so(tmp_path):
    pool = [make_cutout(np.random.default_rng(n), person_id=n, height=30, width=20) for n in range(10)]
    write_pool_sheet(tmp_path / "some.jpg", pool, COCO17, max_tiles=3)
    assert cv2.imread(str(tmp_path / "some.jpg")).shape == (260, 540, 3)
    write_pool_sheet(tmp_path / "none.jpg", [], COCO17)
    none = cv2.imread(str(tmp_path / "none.jpg"))
    assert none.min() < 100 < none.mean()
