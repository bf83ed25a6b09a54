"""Contact sheet of the instance pool."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from dag.annotation import Visibility
from dag.geometry import pixel_of
from dag.pool.pool import Cutout, Pool
from dag.sheets.drawing import BONE, CAPTION, OCCLUDED, VISIBLE, caption, checkerboard, write_sheet
from dag.skeleton import Skeleton


def write_pool_sheet(
    path: str | Path, pool: Pool | Sequence[Cutout], skeleton: Skeleton, *, max_tiles: int = 80
) -> None:
    """Write the cut-outs of a pool (`cutout_tile`), at even intervals if there are more than `max_tiles`."""
    chosen = np.unique(np.linspace(0, len(pool) - 1, min(len(pool), max_tiles)).round().astype(int))
    tiles = [cutout_tile(pool[int(number)], skeleton, width=180, height=260) for number in chosen]
    write_sheet(path, tiles or [caption(np.full((60, 360, 3), 255, np.uint8), "no cut-out was accepted")])


def cutout_tile(cutout: Cutout, skeleton: Skeleton, *, width: int, height: int) -> UInt8[np.ndarray, "height width 3"]:
    """A cut-out on a checkerboard with bones, joints (green: visible, orange: occluded) and person id."""
    inner_width, inner_height = width - 4, height - CAPTION - 4
    scale = min(inner_width / cutout.parts.shape[1], inner_height / cutout.parts.shape[0])
    size = tuple(max(int(side * scale), 1) for side in cutout.parts.shape[::-1])
    small = _resize_premultiplied(cutout.rgba, size)
    tile = checkerboard(width, height)
    inner = tile[2 : 2 + size[1], 2 : 2 + size[0]]
    inner[:] = np.minimum(inner * (1 - small[..., 3:]) + small[..., :3] + 0.5, 255).astype(np.uint8)
    _draw_joints(tile, cutout, skeleton, scale)
    return caption(tile, str(cutout.person_id))


def _resize_premultiplied(rgba: UInt8[np.ndarray, "H W 4"], size: tuple[int, ...]) -> np.ndarray:
    """Resized RGB times alpha in 0-255, and alpha in 0-1: premultiplied, the background does not bleed into edges."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    premultiplied = np.concatenate([rgba[..., :3] * alpha, alpha], axis=2)
    kind = cv2.INTER_AREA if size[0] < rgba.shape[1] else cv2.INTER_LINEAR
    return cv2.resize(premultiplied, size, interpolation=kind)


def _draw_joints(tile: UInt8[np.ndarray, "H W 3"], cutout: Cutout, skeleton: Skeleton, scale: float) -> None:
    """Draw bones and labelled joints of a cut-out that has been scaled and placed at (2, 2) of a tile, in place."""
    xy = pixel_of((cutout.keypoints_xy + 0.5) * scale - 0.5 + 2).tolist()
    labelled = cutout.visibility > 0
    for a, b in skeleton.bone_index:
        if labelled[a] and labelled[b]:
            cv2.line(tile, xy[a], xy[b], BONE, 1, cv2.LINE_AA)
    for joint in np.flatnonzero(labelled):
        colour = VISIBLE if cutout.visibility[joint] == Visibility.VISIBLE else OCCLUDED
        cv2.circle(tile, xy[joint], 2, colour, -1, cv2.LINE_AA)
