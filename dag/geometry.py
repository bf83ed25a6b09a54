"""Boxes, crops and affine maps. Frame: pixel index, the centre of the first pixel is (0, 0), as in OpenCV.

An affine map is a `[2, 3]` matrix that is applied to a column `(x, y, 1)`; `b_from_a` maps frame a to frame b.
"""

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

BOX_PADDING = 1.25
"""Size of a crop over the size of the bounding box at the input's aspect ratio (HRNet)."""


def crop_from_box(
    bbox_xywh: Float[np.ndarray, "4"], input_wh: tuple[int, int], padding: float = BOX_PADDING
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]]:
    """Centre and size of a person's crop in image pixels: the box extended to the input's aspect ratio, then padded.

    As HRNet's `_xywh2cs` (lib/dataset/coco.py), but sizes are in pixels instead of units of 200 pixels.
    """
    x, y, width, height = bbox_xywh
    aspect = input_wh[0] / input_wh[1]
    width, height = max(width, height * aspect), max(height, width / aspect)
    return np.array([x + bbox_xywh[2] / 2, y + bbox_xywh[3] / 2]), np.array([width, height]) * padding


def input_from_image(
    center_xy: Float[np.ndarray, "2"],
    size_wh: Float[np.ndarray, "2"],
    input_wh: tuple[int, int],
    rotation: float = 0.0,
) -> Float[np.ndarray, "2 3"]:
    """Affine map from the image to the network's input.

    The crop's centre is mapped to `input_wh / 2` and its width to `input_wh[0]`, with the same scale for both axes, as
    in HRNet's `get_affine_transform` (lib/utils/transforms.py).

    Args:
        center_xy: crop centre in image pixels.
        size_wh: crop size in image pixels.
        input_wh: network input, width and height in pixels.
        rotation: degrees; a positive value rotates the crop window clockwise on the image (and its content
            counter-clockwise).
    """
    scale = input_wh[0] / size_wh[0]
    angle = np.deg2rad(rotation)
    linear = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.column_stack([linear, np.array(input_wh) / 2 - linear @ center_xy])


def invert(affine: Float[np.ndarray, "2 3"]) -> Float[np.ndarray, "2 3"]:
    """Inverse of an affine map."""
    linear = np.linalg.inv(affine[:, :2])
    return np.column_stack([linear, -linear @ affine[:, 2]])


def compose(second: Float[np.ndarray, "2 3"], first: Float[np.ndarray, "2 3"]) -> Float[np.ndarray, "2 3"]:
    """Composition of two affine maps: `first`, then `second`."""
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])


def apply_affine(affine: Float[np.ndarray, "2 3"], xy: Float[np.ndarray, "*shape 2"]) -> Float[np.ndarray, "*shape 2"]:
    """Apply an affine map to points."""
    return xy @ affine[:, :2].T + affine[:, 2]


def mirror(width: int) -> Float[np.ndarray, "2 3"]:
    """Horizontal flip of an image of `width` pixels: x becomes width - 1 - x. See also `Skeleton.flip_index`."""
    return np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0]])


def inside_image(xy: Float[np.ndarray, "*shape 2"], width: int, height: int) -> Bool[np.ndarray, "*shape"]:
    """True for points on a pixel of a `width` x `height` image."""
    return (xy[..., 0] > -0.5) & (xy[..., 0] < width - 0.5) & (xy[..., 1] > -0.5) & (xy[..., 1] < height - 0.5)


def pixel_of(xy: Float[np.ndarray, "*shape 2"]) -> Int[np.ndarray, "*shape 2"]:
    """Column and row of the pixel under each point."""
    return np.floor(xy + 0.5).astype(int)


def at(values: Shaped[np.ndarray, "H W"], xy: Float[np.ndarray, "*shape 2"]) -> Shaped[np.ndarray, "*shape"]:
    """Values of the pixels under points; 0 or False outside."""
    pixel = pixel_of(xy)
    inside = ((pixel >= 0) & (pixel < values.shape[::-1])).all(axis=-1)
    sampled = np.zeros(inside.shape, values.dtype)
    sampled[inside] = values[pixel[inside, 1], pixel[inside, 0]]
    return sampled
