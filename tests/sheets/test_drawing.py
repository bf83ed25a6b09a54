"""Contents and layout of contact sheets."""

import cv2
import numpy as np

from dag.sheets.drawing import BONE, CAPTION, OCCLUDED, VISIBLE, checkerboard, write_sheet
from dag.sheets.pool import cutout_tile, write_pool_sheet
from dag.skeleton import COCO17
from tests.makers import make_cutout


def test_tile_shows_cutout_checkerboard_and_joints():
    cutout = make_cutout(np.random.default_rng(0))
    cutout.rgba[..., :3] = (200, 0, 200)
    tile = cutout_tile(cutout, COCO17, width=64, height=120 + 4 + CAPTION)
    assert tile.shape == (140, 64, 3)
    background = checkerboard(64, 140)
    body, joints = tile[2:122, 2:62], cutout.keypoints_xy.astype(int)
    outside = cutout.rgba[..., 3] == 0
    assert (body[outside] == background[2:122, 2:62][outside]).mean() > 0.9
    assert (body[~outside] == (200, 0, 200)).all(axis=1).mean() > 0.3
    assert tuple(body[joints[-1, 1], joints[-1, 0]]) == OCCLUDED
    isolated = [joint for joint in range(16) if np.abs(joints[joint] - np.delete(joints, joint, 0)).max(1).min() > 6]
    assert isolated
    assert all(tuple(body[joints[joint, 1], joints[joint, 0]]) == VISIBLE for joint in isolated)
    assert (body == BONE).all(axis=2).any()


def test_half_transparent_cutout_is_blended_with_the_checkerboard():
    cutout = make_cutout(np.random.default_rng(0))
    cutout.rgba[..., :3], cutout.rgba[..., 3] = 255, 128
    cutout.visibility[:] = 0
    body = cutout_tile(cutout, COCO17, width=64, height=140)[2:122, 2:62].astype(int)
    expected = checkerboard(64, 140)[2:122, 2:62] * (127 / 255) + 128
    assert np.abs(body - expected).max() <= 1


def test_sheet_has_every_tile_in_rows_and_is_deterministic(tmp_path):
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


def test_large_pool_is_sampled_and_an_empty_pool_has_a_note(tmp_path):
    pool = [make_cutout(np.random.default_rng(n), person_id=n, height=30, width=20) for n in range(10)]
    write_pool_sheet(tmp_path / "some.jpg", pool, COCO17, max_tiles=3)
    assert cv2.imread(str(tmp_path / "some.jpg")).shape == (260, 540, 3)
    write_pool_sheet(tmp_path / "none.jpg", [], COCO17)
    none = cv2.imread(str(tmp_path / "none.jpg"))
    assert none.min() < 100 < none.mean()
