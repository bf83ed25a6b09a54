"""One cut-out into one crop: a warp and an 8-bit blend of the rectangle that it reaches."""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from dag.geometry import apply_affine, compose


def blend(
    image: UInt8[np.ndarray, "H W 3"],
    rgba: UInt8[np.ndarray, "h w 4"],
    crop_from_cutout: Float[np.ndarray, "2 3"],
    nearer: Bool[np.ndarray, "H W"],
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw a cut-out into a copy of a crop.

    Args:
        image: RGB crop.
        rgba: cut-out, colour not premultiplied.
        crop_from_cutout: where it goes.
        nearer: pixels that stay as they are, because what they show is nearer than the cut-out.
    """
    rgba, crop_from_cutout = _shrink(rgba, crop_from_cutout)
    height, width = rgba.shape[:2]
    corners = np.array([[-0.5, -0.5], [width - 0.5, -0.5], [-0.5, height - 0.5], [width - 0.5, height - 0.5]])
    reach = apply_affine(crop_from_cutout, corners)
    left, top = np.maximum(np.floor(reach.min(axis=0)), 0).astype(int)
    right, bottom = np.minimum(np.ceil(reach.max(axis=0)) + 1, image.shape[1::-1]).astype(int)
    if left >= right or top >= bottom:
        return image.copy()
    crop_from_cutout = compose(np.array([[1.0, 0, -left], [0, 1.0, -top]]), crop_from_cutout)
    warped = cv2.warpAffine(rgba, crop_from_cutout, (int(right - left), int(bottom - top)))
    warped[nearer[top:bottom, left:right], 3] = 0
    weight = cv2.cvtColor(cv2.extractChannel(warped, 3), cv2.COLOR_GRAY2RGB)
    front = cv2.multiply(cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB), weight, scale=1 / 255)
    image = image.copy()
    back = cv2.multiply(image[top:bottom, left:right], cv2.bitwise_not(weight), scale=1 / 255)
    image[top:bottom, left:right] = cv2.add(front, back)
    return image


def _shrink(
    rgba: UInt8[np.ndarray, "H W 4"], crop_from_cutout: Float[np.ndarray, "2 3"]
) -> tuple[UInt8[np.ndarray, "h w 4"], Float[np.ndarray, "2 3"]]:
    """Average whole blocks of a cut-out that is much too large: bilinear sampling alone would skip pixels."""
    factor = int(1 / np.hypot(*crop_from_cutout[:, 0]))
    height, width = rgba.shape[0] // max(factor, 1), rgba.shape[1] // max(factor, 1)
    if factor < 2 or not height or not width:
        return rgba, crop_from_cutout
    blocks = rgba[: height * factor, : width * factor]
    small = cv2.resize(blocks, (width, height), interpolation=cv2.INTER_AREA)
    offset = (factor - 1) / 2
    return small, compose(crop_from_cutout, np.array([[factor, 0, offset], [0, factor, offset]]))
