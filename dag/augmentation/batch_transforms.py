"""Transforms of a batch on the device: affine warp, photometric jitter, normalisation."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import grid_sample

from dag.image import MEAN, STD


def warp(
    images: UInt8[Tensor, "B Hc Wc 3"], input_from_canvas: Float[Tensor, "B 2 3"], size_hw: tuple[int, int]
) -> Float[Tensor, "B 3 H W"]:
    """Warp canvases to normalised network inputs, bilinear; black outside the canvas.

    Equals `cv2.warpAffine` with `BORDER_CONSTANT`, then (image / 255 - mean) / std.

    Args:
        images: RGB canvases.
        input_from_canvas: affine maps between pixel indices.
        size_hw: height and width of the network input in pixels.
    """
    pixels = images.permute(0, 3, 1, 2).float()
    grid = _grid(input_from_canvas, (images.shape[1], images.shape[2]), size_hw, stride=1.0)
    return normalise(grid_sample(pixels, grid, mode="bilinear", padding_mode="zeros", align_corners=False) / 255)


def warp_ignore(
    ignore: UInt8[Tensor, "B hc wc"],
    input_from_canvas: Float[Tensor, "B 2 3"],
    size_hw: tuple[int, int],
    stride: float = 4.0,
) -> UInt8[Tensor, "B h w"]:
    """Warp ignore maps of canvases to the heatmap, nearest neighbour; nothing is ignored outside the canvas.

    Args:
        ignore: 1 where unlabelled persons are, one value per block of `stride` x `stride` canvas pixels.
        input_from_canvas: affine maps between pixel indices, in pixels, not blocks.
        size_hw: height and width of the heatmap, whose cells are `stride` x `stride` input pixels.
        stride: side of a block and of a heatmap cell in pixels.
    """
    grid = _grid(input_from_canvas, (ignore.shape[1], ignore.shape[2]), size_hw, stride)
    return grid_sample(ignore[:, None].float(), grid, mode="nearest", align_corners=False)[:, 0].to(torch.uint8)


def _grid(
    input_from_canvas: Float[Tensor, "B 2 3"], canvas_hw: tuple[int, int], size_hw: tuple[int, int], stride: float
) -> Float[Tensor, "B H W 2"]:
    """Canvas coordinates of each input cell, in grid_sample's units; sizes in cells of `stride` pixels."""
    matrix = input_from_canvas.float()
    linear = torch.linalg.inv_ex(matrix[:, :, :2]).inverse  # torch.linalg.inv would synchronise with the device
    start = -(linear @ matrix[:, :, 2:])
    # From pixels to cells on both sides: the centre of a cell is at pixel (cell + .5) * stride - .5.
    shift = (linear.sum(dim=2, keepdim=True) * (stride - 1) / 2 + start - (stride - 1) / 2) / stride
    canvas_wh = torch.tensor([canvas_hw[1], canvas_hw[0]], device=matrix.device).view(1, 2, 1)
    # (x + .5) / W * 2 - 1. Columns and rows are broadcast, which is cheaper than a matrix product for each cell.
    linear, shift = (linear * 2 / canvas_wh)[:, None, None], ((shift + 0.5) * 2 / canvas_wh - 1)[:, None, None]
    column = torch.arange(size_hw[1], device=matrix.device).view(1, 1, -1, 1)
    row = torch.arange(size_hw[0], device=matrix.device).view(1, -1, 1, 1)
    return linear[..., 0] * column + (linear[..., 1] * row + shift[..., 0])


def normalise(images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
    """Normalise RGB in 0-1 by ImageNet's mean and standard deviation."""
    mean, std = _channels(MEAN, images), _channels(STD, images)
    return (images - mean) / std


def denormalise(images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
    """Inverse of `normalise`: RGB in 0-1."""
    return images * _channels(STD, images) + _channels(MEAN, images)


def jitter(
    images: Float[Tensor, "B 3 H W"],
    seeds: list[tuple[int, ...]],
    *,
    brightness: float,
    contrast: float,
    color: float,
) -> Float[Tensor, "B 3 H W"]:
    """Change brightness, contrast and colour balance, with a seed for each sample.

    Args:
        images: normalised inputs.
        seeds: one for each sample, such as (seed, epoch, person id): independent of the batch.
        brightness: maximum change, as a fraction of white.
        contrast: maximum relative change of the difference from the image's mean grey.
        color: maximum relative change of each channel.
    """
    draws = np.stack([np.random.default_rng(seed).uniform(-1, 1, 5) for seed in seeds])
    numbers = torch.from_numpy(draws.astype(np.float32)).to(images.device)[:, :, None, None]
    pixels = denormalise(images) * (1 + color * numbers[:, 2:])
    grey = pixels.mean(dim=(1, 2, 3), keepdim=True)
    pixels = (pixels - grey) * (1 + contrast * numbers[:, 1:2]) + grey + brightness * numbers[:, :1]
    return normalise(pixels.clamp(0, 1))


def _channels(values: tuple[float, ...], like: Tensor) -> Float[Tensor, "1 3 1 1"]:
    return torch.tensor(values, device=like.device, dtype=like.dtype).view(1, 3, 1, 1)
