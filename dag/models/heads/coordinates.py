"""Differentiable decoding of heatmaps to coordinates, in float32 for heatmaps of any type.

Frame: heatmap pixels, pixel index. All functions return `(xy [B, J, 2], peak [B, J])`.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from dag.models.heads.codecs import peaks

RADIUS = 6
FLOOR = 0.15
BETA = 20.0


def local_integration(
    heatmaps: Float[Tensor, "B J H W"], radius: int = RADIUS, floor: float = FLOOR
) -> tuple[Float[Tensor, "B J 2"], Float[Tensor, "B J"]]:
    """Centre of mass of the values above a fraction of the peak, in a square window around the peak.

    The default floor confines the mass to the window for sigma 2 and 3 (exp(-1.95^2 / 2) = 0.15), so that the window's
    position does not bias the result, and suppresses noise. A heatmap without positive values gives its maximum.

    Args:
        heatmaps: in any range; values below `floor` times the peak have no weight.
        radius: half the side of the window in pixels.
        floor: fraction of the peak.
    """
    height, width = heatmaps.shape[-2:]
    peak_xy, peak = peaks(heatmaps)
    step = torch.arange(-radius, radius + 1, device=heatmaps.device)
    offset = torch.stack(torch.meshgrid(step, step, indexing="xy"), -1).reshape(-1, 2)
    window_xy = peak_xy.long()[:, :, None] + offset
    inside = (window_xy >= 0).all(-1) & (window_xy[..., 0] < width) & (window_xy[..., 1] < height)
    index = (window_xy[..., 1].clamp(0, height - 1) * width + window_xy[..., 0].clamp(0, width - 1)).flatten(2)
    value = heatmaps.float().flatten(2).gather(2, index)
    mass = torch.relu(value - floor * peak.detach()[..., None]) * inside
    moment = (mass[..., None] * offset).sum(2)
    return peak_xy + moment / mass.sum(-1, keepdim=True).clamp(min=1e-6), peak


def soft_argmax(
    heatmaps: Float[Tensor, "B J H W"], beta: float = BETA
) -> tuple[Float[Tensor, "B J 2"], Float[Tensor, "B J"]]:
    """Expected coordinates under the softmax of `beta` times the heatmap (Sun et al., ECCV 2018)."""
    height, width = heatmaps.shape[-2:]
    probability = (beta * heatmaps.float()).flatten(2).softmax(-1).unflatten(2, (height, width))
    x = probability.sum(2) @ torch.arange(width, device=heatmaps.device, dtype=torch.float32)
    y = probability.sum(3) @ torch.arange(height, device=heatmaps.device, dtype=torch.float32)
    return torch.stack([x, y], -1), peaks(heatmaps)[1]
