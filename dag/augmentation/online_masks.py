"""Online mask joints, resampled every epoch: drawn on the CPU in input pixels, painted on the device after the warp."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from dag.augmentation.batch_transforms import normalise
from dag.augmentation.instances import Instances
from dag.augmentation.occlusion import REFERENCE_HEIGHT, mask_joints

SIZES = (10.0, 40.0)
"""The paper's sides of a mask: minimum and maximum in pixels of an input `REFERENCE_HEIGHT` pixels high."""


def draw_masks(
    instances: Instances,
    seed: tuple[int, ...],
    input_wh: tuple[int, int],
    other_image: UInt8[np.ndarray, "h w 3"] | None,
) -> tuple[UInt8[np.ndarray, "H W 4"], Instances]:
    """Pixels that `mask_joints` paints on any network input, and the occluded instances.

    Args:
        instances: in pixels of the network input; not modified.
        seed: of the random generator.
        input_wh: network input, width and height in pixels.
        other_image: source of patches; None: noise and flat colours only.

    Returns:
        RGB and 255 where painted, zeros elsewhere; the instances with occluded joints.
    """
    width, height = input_wh
    min_size, max_size = (size * height / REFERENCE_HEIGHT for size in SIZES)
    (on_black, masked), (on_white, _) = (
        mask_joints(
            np.full((height, width, 3), grey, np.uint8), instances, np.random.default_rng(seed),
            min_size=min_size, max_size=max_size, other_image=other_image,
        )
        for grey in (0, 255)
    )  # fmt: skip
    # Only painted pixels are equal on a black and on a white image.
    painted = on_black[..., 0] == on_white[..., 0]
    return np.concatenate([on_black, painted[..., None] * np.uint8(255)], axis=-1), masked


def paint_masks(images: Float[Tensor, "B 3 H W"], masks: UInt8[Tensor, "B H W 4"]) -> Float[Tensor, "B 3 H W"]:
    """Paint masks of `draw_masks` over normalised network inputs."""
    layers = masks.permute(0, 3, 1, 2)
    return torch.where(layers[:, 3:] > 0, normalise(layers[:, :3].to(images.dtype) / 255), images)
