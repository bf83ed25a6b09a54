"""Heatmaps to coordinates in a way that gradients pass. In float32, whatever the heatmaps are in.

Frame: heatmap pixels, pixel index. Everything that is returned is `(xy [B, J, 2], peak [B, J])`.
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
    """Centre of mass of what rises above a share of the peak, in a square window round it.

    The floor keeps the mass inside the window for sigma 2 and 3 (exp(-1.95^2 / 2) = .15), so that the window's
    position does not shift the result, and keeps noise out. Where nothing is positive it is the highest pixel.

    Args:
        heatmaps: any range; what is below `floor` times the peak has no weight.
        radius: half the window's side in pixels.
        floor: share of the peak.
    """
    height, width = heatmaps.shape[-2:]
    peak_xy, peak = peaks(heatmaps)
    step = torch.arange(-radius, radius + 1, device=heatmaps.device)
    offset = torch.stack(torch.meshgrid(step, step, indexing="xy"), -1).reshape(-1, 2)
    at = peak_xy.long()[:, :, None] + offset
    inside = (at >= 0).all(-1) & (at[..., 0] < width) & (at[..., 1] < height)
    index = (at[..., 1].clamp(0, height - 1) * width + at[..., 0].clamp(0, width - 1)).flatten(2)
    value = heatmaps.float().flatten(2).gather(2, index)
    mass = torch.relu(value - floor * peak.detach()[..., None]) * inside
    moment = (mass[..., None] * offset).sum(2)
    return peak_xy + moment / mass.sum(-1, keepdim=True).clamp(min=1e-6), peak


def soft_argmax(
    heatmaps: Float[Tensor, "B J H W"], beta: float = BETA
) -> tuple[Float[Tensor, "B J 2"], Float[Tensor, "B J"]]:
    """Mean position under a softmax of `beta` times the heatmap (Sun et al., ECCV 2018)."""
    height, width = heatmaps.shape[-2:]
    share = (beta * heatmaps.float()).flatten(2).softmax(-1).unflatten(2, (height, width))
    x = share.sum(2) @ torch.arange(width, device=heatmaps.device, dtype=torch.float32)
    y = share.sum(3) @ torch.arange(height, device=heatmaps.device, dtype=torch.float32)
    return torch.stack([x, y], -1), peaks(heatmaps)[1]
