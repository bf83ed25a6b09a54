"""Depth-buffered triangle rasteriser, vectorised over triangles."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int32

_TOUCH = 1e-3  # pixels by which a face extends over its edge, so that there are no gaps between adjacent faces


@dataclass(frozen=True, eq=False)
class Layer:
    """Rendering of one object alone, in a window of the image.

    Attributes:
        x, y: first pixel of the window.
        face: index of the nearest face, -1 for none.
        inverse_depth: its inverse depth in 1/m, 0 for none.
    """

    x: int
    y: int
    face: Int32[np.ndarray, "H W"]
    inverse_depth: Float32[np.ndarray, "H W"]

    @property
    def window(self) -> tuple[slice, slice]:
        """Row and column slices of the window in the image."""
        height, width = self.face.shape
        return slice(self.y, self.y + height), slice(self.x, self.x + width)


def rasterize(
    screen_xy: Float[np.ndarray, "V 2"],
    inverse_depth: Float[np.ndarray, " V"],
    faces: Int[np.ndarray, "F 3"],
    wh: tuple[int, int],
    two_sided: Bool[np.ndarray, " F"],
) -> Layer:
    """Rasterise faces; the nearest face of each pixel is kept.

    Args:
        screen_xy: vertices in pixels (pixel-index frame).
        inverse_depth: per vertex, affine on the screen. Faces with a vertex at or behind the camera (<= 0) are skipped.
        faces: vertex indices.
        wh: image size, width and height.
        two_sided: mask of the faces that are also rendered from behind.
    """
    xy, near = screen_xy[faces], inverse_depth[faces]
    one, two = xy[:, 1] - xy[:, 0], xy[:, 2] - xy[:, 0]
    area = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]  # negative: towards the camera, as y points down
    low, high = (pick(pick(xy[:, 0], xy[:, 1]), xy[:, 2]) for pick in (np.minimum, np.maximum))
    shown = (near[:, 0] > 0) & (near[:, 1] > 0) & (near[:, 2] > 0)
    shown &= (high[:, 0] >= 0) & (high[:, 1] >= 0) & (low[:, 0] <= wh[0] - 1) & (low[:, 1] <= wh[1] - 1)
    shown &= np.where(two_sided, np.abs(area), -area) > 1e-4
    kept = np.flatnonzero(shown)
    if not len(kept):
        return Layer(0, 0, np.full((1, 1), -1, np.int32), np.zeros((1, 1), np.float32))
    x0, y0 = np.maximum(np.floor(low[kept].min(0)), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(high[kept].max(0)), np.array(wh) - 1).astype(int)
    width, height = int(x1 - x0 + 1), int(y1 - y0 + 1)
    corners = xy[kept] - (x0, y0)
    which, columns, rows = _pixels(corners, width, height)
    plane = _planes(corners, near[kept])[which]
    value = plane[:, 0] + plane[:, 1] * columns.astype(np.float32) + plane[:, 2] * rows.astype(np.float32)
    value = np.maximum(value, np.float32(1e-6))

    pixel = rows * width + columns
    nearest = np.zeros(height * width, np.float32)
    np.maximum.at(nearest, pixel, value)
    winners = value == nearest[pixel]
    face = np.full(height * width, -1, np.int32)
    face[pixel[winners]] = kept[which[winners]]
    return Layer(int(x0), int(y0), face.reshape(height, width), nearest.reshape(height, width))


def _planes(corners: Float[np.ndarray, "F 3 2"], near: Float[np.ndarray, "F 3"]) -> Float32[np.ndarray, "F 3"]:
    """Offset, x slope and y slope of each face's inverse depth on the screen."""
    one, two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
    step = near[:, 1:] - near[:, :1]
    slope_x = (step[:, 0] * two[:, 1] - step[:, 1] * one[:, 1]) / area
    slope_y = (step[:, 1] * one[:, 0] - step[:, 0] * two[:, 0]) / area
    base = near[:, 0] - slope_x * corners[:, 0, 0] - slope_y * corners[:, 0, 1]
    return np.stack([base, slope_x, slope_y], 1).astype(np.float32)


def _pixels(
    corners: Float[np.ndarray, "F 3 2"], width: int, height: int
) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"], Int[np.ndarray, " N"]]:
    """All pixels of all triangles: triangle index, column and row. Triangles expand to rows, rows to columns."""
    x, y = corners[..., 0].astype(np.float32), corners[..., 1].astype(np.float32)
    top = np.clip(np.ceil(_minimum(y)), 0, height).astype(int)
    bottom = np.clip(np.floor(-_minimum(-y)), -1, height - 1).astype(int)
    which, row = _expand_ranges(top, bottom)
    level = row.astype(np.float32)
    left, right = np.full(len(row), np.inf, np.float32), np.full(len(row), -np.inf, np.float32)
    for start, end in ((0, 1), (1, 2), (2, 0)):
        rise = y[:, end] - y[:, start]
        slope = (x[:, end] - x[:, start]) / np.where(np.abs(rise) < 1e-6, np.float32(np.inf), rise)
        high, low = np.minimum(y[:, start], y[:, end]), np.maximum(y[:, start], y[:, end])
        edge = np.stack([x[:, start] - slope * y[:, start], slope, high, low], 1)[which]
        at = edge[:, 0] + edge[:, 1] * level
        crossed = (level >= edge[:, 2]) & (level <= edge[:, 3])
        left = np.where(crossed, np.minimum(left, at), left)
        right = np.where(crossed, np.maximum(right, at), right)
    first = np.clip(np.ceil(left - _TOUCH), 0, width).astype(int)
    last = np.clip(np.floor(right + _TOUCH), -1, width - 1).astype(int)
    span, column = _expand_ranges(first, last)
    return which[span], column, row[span]


def _minimum(values: Float32[np.ndarray, "N 3"]) -> Float32[np.ndarray, " N"]:
    return np.minimum(np.minimum(values[:, 0], values[:, 1]), values[:, 2])


def _expand_ranges(
    first: Int[np.ndarray, " N"], last: Int[np.ndarray, " N"]
) -> tuple[Int[np.ndarray, " M"], Int[np.ndarray, " M"]]:
    """All integers from `first[i]` to `last[i]` for every i, and their i."""
    count = np.maximum(last - first + 1, 0)
    row = np.repeat(np.arange(len(count)), count)
    offset = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    return row, first[row] + offset
