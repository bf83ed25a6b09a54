"""One cut-out into one crop: a warp and an 8-bit blend of the rectangle that it reaches."""

import math

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from dag.geometry import compose


def blend(
    image: UInt8[np.ndarray, "H W 3"],
    rgba: UInt8[np.ndarray, "h w 4"],
    crop_from_cutout: Float[np.ndarray, "2 3"],
    nearer: Bool[np.ndarray, "H W"] | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw a cut-out into a copy of a crop.

    Args:
        image: RGB crop.
        rgba: cut-out, colour not premultiplied.
        crop_from_cutout: where it goes.
        nearer: pixels that stay as they are, because what they show is nearer than the cut-out; None: the cut-out is.
    """
    image = image.copy()
    rgba, crop_from_cutout = _shrink(rgba, crop_from_cutout)
    left, top, right, bottom = _reach(crop_from_cutout, rgba.shape, image.shape)
    if left >= right or top >= bottom:
        return image
    region_from_cutout = crop_from_cutout - np.array([[0, 0, left], [0, 0, top]])
    front = cv2.warpAffine(rgba, region_from_cutout, (right - left, bottom - top))
    alpha = cv2.extractChannel(front, 3)
    if nearer is not None:
        alpha[nearer[top:bottom, left:right]] = 0
    weight = cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB)
    region = image[top:bottom, left:right]
    front = cv2.multiply(cv2.cvtColor(front, cv2.COLOR_RGBA2RGB), weight, scale=1 / 255)
    back = cv2.multiply(region, cv2.bitwise_not(weight), scale=1 / 255)
    np.add(front, back, out=region)
    return image


def _reach(
    crop_from_cutout: Float[np.ndarray, "2 3"], cutout: tuple[int, ...], crop: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """Left, top, right and bottom (excluded) of the pixels that a cut-out may touch; both shapes begin with height."""
    (a, b, x), (c, d, y) = crop_from_cutout.tolist()
    half_width, half_height = cutout[1] / 2, cutout[0] / 2
    x, y = x + a * (half_width - 0.5) + b * (half_height - 0.5), y + c * (half_width - 0.5) + d * (half_height - 0.5)
    across, down = abs(a) * half_width + abs(b) * half_height, abs(c) * half_width + abs(d) * half_height
    left, top = max(math.floor(x - across), 0), max(math.floor(y - down), 0)
    return left, top, min(math.ceil(x + across) + 1, crop[1]), min(math.ceil(y + down) + 1, crop[0])


def _shrink(
    rgba: UInt8[np.ndarray, "H W 4"], crop_from_cutout: Float[np.ndarray, "2 3"]
) -> tuple[UInt8[np.ndarray, "h w 4"], Float[np.ndarray, "2 3"]]:
    """Average whole blocks of a cut-out that is much too large: bilinear sampling alone would skip pixels."""
    factor = int(1 / math.hypot(*crop_from_cutout[:, 0].tolist()))
    height, width = rgba.shape[0] // max(factor, 1), rgba.shape[1] // max(factor, 1)
    if factor < 2 or not height or not width:
        return rgba, crop_from_cutout
    blocks = rgba[: height * factor, : width * factor]
    small = cv2.resize(blocks, (width, height), interpolation=cv2.INTER_AREA)
    offset = (factor - 1) / 2
    return small, compose(crop_from_cutout, np.array([[factor, 0, offset], [0, factor, offset]]))
