"""Heatmaps: the layer that predicts them, the targets it learns, and where their peaks are.

Frame: heatmap pixels, pixel index; `heatmap_xy = input_xy / 4`, as HRNet. Heatmaps are `[B, J, H, W]`.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class HeatmapHead(nn.Module):
    """One 1 x 1 convolution: a heatmap a joint. Initialised as HRNet's, std .001.

    Args:
        channels: of the features.
        joints: heatmaps.
    """

    def __init__(self, channels: int, joints: int):
        super().__init__()
        self.joints = joints
        self.final_layer = nn.Conv2d(channels, joints, 1)
        nn.init.normal_(self.final_layer.weight, std=0.001)
        nn.init.zeros_(self.final_layer.bias)  # type: ignore[arg-type]

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B J H W"]:
        """Features to heatmaps of about 0 to 1."""
        return self.final_layer(features)


def gaussian_targets(
    keypoints_heatmap_xy: Float[Tensor, "B P J 2"],
    labelled: Bool[Tensor, "B P J"],
    size_hw: tuple[int, int],
    sigma: float,
) -> Float[Tensor, "B J H W"]:
    """HRNet's target coding: Gaussians of height 1 with the centre rounded to a pixel, cut off 3 sigma from it.

    As `generate_target` of HRNet's lib/dataset/JointsDataset.py (mmpose: MSRAHeatmap), for several people at once: a
    pixel has the largest value of all of them.

    Args:
        keypoints_heatmap_xy: joints of up to P people; they may lie outside.
        labelled: false where there is no such joint or person.
        size_hw: heatmap height and width.
        sigma: in heatmap pixels.
    """
    center = (keypoints_heatmap_xy.float() + 0.5).trunc()
    along_x = _gaussians(center[..., 0], size_hw[1], sigma) * labelled[..., None]
    along_y = _gaussians(center[..., 1], size_hw[0], sigma)
    # A person at a time: all at once would need P times the memory of the result.
    target = along_y[:, 0, :, :, None] * along_x[:, 0, :, None, :]
    for person in range(1, center.shape[1]):
        target = torch.maximum(target, along_y[:, person, :, :, None] * along_x[:, person, :, None, :])
    return target


def _gaussians(center: Tensor, size: int, sigma: float) -> Tensor:
    distance = torch.arange(size, device=center.device) - center[..., None]
    return torch.exp(-(distance**2) / (2 * sigma**2)) * (distance.abs() <= int(3 * sigma))


def reaches_heatmap(
    keypoints_heatmap_xy: Float[Tensor, "*shape 2"], size_hw: tuple[int, int], sigma: float
) -> Bool[Tensor, "*shape"]:
    """True where a joint's Gaussian (3 sigma) touches the heatmap: HRNet's loss leaves the other joints out."""
    center = (keypoints_heatmap_xy.float() + 0.5).trunc()
    size = torch.tensor([size_hw[1], size_hw[0]], device=center.device)
    radius = int(3 * sigma)
    return ((center - radius < size) & (center + radius + 1 >= 0)).all(-1)


def peaks(heatmaps: Float[Tensor, "B J H W"]) -> tuple[Float[Tensor, "B J 2"], Float[Tensor, "B J"]]:
    """Pixel (x, y) and height of the highest value of each heatmap."""
    width = heatmaps.shape[-1]
    height, index = heatmaps.float().flatten(2).max(-1)
    return torch.stack([index % width, index // width], -1).float(), height


def decode_heatmaps(heatmaps: Float[Tensor, "B J H W"]) -> tuple[Float[Tensor, "B J 2"], Float[Tensor, "B J"]]:
    """Joints (heatmap pixels) and scores: the highest pixel, moved a quarter pixel towards its higher neighbour.

    As `get_final_preds` of HRNet's lib/core/inference.py: no move on the border; a heatmap that is nowhere positive
    gives (0, 0), which moves as any other place would (not at all, being on the border).
    """
    size_hw = heatmaps.shape[-2:]
    xy, score = peaks(heatmaps)
    xy = xy * (score > 0)[..., None]
    last = torch.tensor([size_hw[1] - 1, size_hw[0] - 1], device=xy.device)
    inside = ((xy > 1) & (xy < last)).all(-1)
    x, y = (xy.long() * inside[..., None]).unbind(-1)
    right, left = _pick(heatmaps, x + 1, y), _pick(heatmaps, (x - 1).clamp(min=0), y)
    below, above = _pick(heatmaps, x, y + 1), _pick(heatmaps, x, (y - 1).clamp(min=0))
    towards = torch.stack([right - left, below - above], -1).sign()
    return xy + 0.25 * towards * inside[..., None], score


def _pick(heatmaps: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Values at integer (x, y), `[B, J]` each."""
    return heatmaps.float().flatten(2).gather(2, (y * heatmaps.shape[-1] + x)[..., None])[..., 0]
