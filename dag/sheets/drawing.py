"""Drawing of contact sheets: grids of small images with captions."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from dag.files import whole_file

CAPTION = 16
"""Height of a caption in pixels."""

GREYS = (150, 205)

BONE, VISIBLE, OCCLUDED = (40, 90, 255), (0, 200, 60), (255, 90, 0)
"""RGB colours of bones, visible joints and occluded joints."""

JPEG_QUALITY = 90


def write_sheet(
    path: str | Path, tiles: Sequence[UInt8[np.ndarray, "H W 3"]], columns: int = 8, quality: int = JPEG_QUALITY
) -> None:
    """Write RGB images of one size as a grid in a JPEG, atomically; `columns` is the maximum number of columns."""
    columns = min(columns, len(tiles))
    blank = np.full_like(tiles[0], 255)
    filled = [*tiles, *[blank] * (-len(tiles) % columns)]
    rows = [np.concatenate(filled[start : start + columns], axis=1) for start in range(0, len(filled), columns)]
    sheet = cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR)
    jpeg = cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    with whole_file(path) as partial:
        partial.write_bytes(jpeg.tobytes())


def checkerboard(width: int, height: int, side: int = 8) -> UInt8[np.ndarray, "height width 3"]:
    """Checkerboard of two greys with squares of `side` pixels: the background of semi-transparent images."""
    odd = (np.arange(height)[:, None] // side + np.arange(width) // side) % 2
    return np.repeat(np.where(odd, np.uint8(GREYS[0]), np.uint8(GREYS[1]))[..., None], 3, axis=2)


def caption(tile: UInt8[np.ndarray, "H W 3"], text: str) -> UInt8[np.ndarray, "H W 3"]:
    """Draw a line of black text on white over the lower `CAPTION` pixels of an image, in place; returns the image."""
    tile[-CAPTION:] = 255
    origin = (3, tile.shape[0] - 4)
    return cv2.putText(tile, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
