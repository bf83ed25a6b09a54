"""Alpha blending of a cut-out into a crop, in 8 bits and within the rectangle that the cut-out can cover."""

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
    """Copy of a crop with a cut-out blended into it.

    Args:
        image: RGB crop.
        rgba: RGB, not premultiplied, and alpha.
        crop_from_cutout: affine map from pixels of the cut-out to pixels of the crop.
        nearer: pixels of the crop that are in front of the cut-out and do not change; None: none.
    """
    image = image.copy()
    rgba, crop_from_cutout = _shrink(rgba, crop_from_cutout)
    left, top, right, bottom = _extent(crop_from_cutout, rgba.shape, image.shape)
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


def _extent(
    crop_from_cutout: Float[np.ndarray, "2 3"], cutout_shape: tuple[int, ...], crop_shape: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """Left, top, right and bottom (exclusive) of the pixels that a cut-out may change; shapes are (h, w, ...)."""
    (a, b, x), (c, d, y) = crop_from_cutout.tolist()
    half_width, half_height = cutout_shape[1] / 2, cutout_shape[0] / 2
    x, y = x + a * (half_width - 0.5) + b * (half_height - 0.5), y + c * (half_width - 0.5) + d * (half_height - 0.5)
    across, down = abs(a) * half_width + abs(b) * half_height, abs(c) * half_width + abs(d) * half_height
    left, top = max(math.floor(x - across), 0), max(math.floor(y - down), 0)
    return left, top, min(math.ceil(x + across) + 1, crop_shape[1]), min(math.ceil(y + down) + 1, crop_shape[0])


def _shrink(
    rgba: UInt8[np.ndarray, "H W 4"], crop_from_cutout: Float[np.ndarray, "2 3"]
) -> tuple[UInt8[np.ndarray, "h w 4"], Float[np.ndarray, "2 3"]]:
    """Downsample a cut-out by a whole factor if it is shrunk by 2 or more: bilinear sampling would alias."""
    factor = int(1 / math.hypot(*crop_from_cutout[:, 0].tolist()))
    height, width = rgba.shape[0] // max(factor, 1), rgba.shape[1] // max(factor, 1)
    if factor < 2 or not height or not width:
        return rgba, crop_from_cutout
    blocks = rgba[: height * factor, : width * factor]
    small = cv2.resize(blocks, (width, height), interpolation=cv2.INTER_AREA)
    offset = (factor - 1) / 2
    return small, compose(crop_from_cutout, np.array([[factor, 0, offset], [0, factor, offset]]))
