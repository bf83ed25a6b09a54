"""SimCC head: classification of each joint's x and y coordinate (Li et al., ECCV 2022)."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

BINS_PER_PIXEL = 2
SMOOTHING = 0.1
RADIUS = 12
"""Bins on either side of the most probable one that `decode_differentiable` averages over."""


class SimccHead(nn.Module):
    """A 1 x 1 convolution to one map per joint, and two linear layers from the map to bins along x and y.

    The output is one tensor `[B, J, bins]`: logits of `2 W` bins along x, then of `2 H` bins along y. Bin b is input
    pixel b / 2. A head supports a single input size.

    Args:
        channels: channels of the features.
        joints: number of joints, J.
        input_hw: height and width of the network's input.
        stride: input pixels per feature pixel.

    Attributes:
        joints, has_heatmaps, output, description: as in `HeatmapHead`.
    """

    has_heatmaps = False
    output = "simcc"
    description = "simcc: logits of 2 W bins along x, then 2 H bins along y; bin b is input pixel b / 2"

    def __init__(self, channels: int, joints: int, *, input_hw: tuple[int, int], stride: int = 4):
        super().__init__()
        self.joints = joints
        self.bins = (BINS_PER_PIXEL * input_hw[1], BINS_PER_PIXEL * input_hw[0])
        positions = (input_hw[0] // stride) * (input_hw[1] // stride)
        self.final_layer = nn.Conv2d(channels, joints, 1)
        self.mlp_head_x = nn.Linear(positions, self.bins[0])
        self.mlp_head_y = nn.Linear(positions, self.bins[1])
        for layer in (self.mlp_head_x, self.mlp_head_y):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B J bins"]:
        """Logits of all bins."""
        maps = self.final_layer(features).flatten(2)
        return torch.cat([self.mlp_head_x(maps), self.mlp_head_y(maps)], dim=-1)

    def decode(
        self, logits: Float[Tensor, "B J bins"], input_hw: tuple[int, int]
    ) -> tuple[Float[Tensor, "B J 2"], Float[Tensor, "B J"]]:
        """Keypoints in input pixels and their scores, the lower of the two highest probabilities."""
        x, y = (axis.float().softmax(-1).max(-1) for axis in self._axes(logits))
        return torch.stack([x.indices, y.indices], -1) / BINS_PER_PIXEL, torch.minimum(x.values, y.values)

    def decode_differentiable(
        self, logits: Float[Tensor, "B J bins"], input_hw: tuple[int, int], soft: bool
    ) -> tuple[Float[Tensor, "B J 2"], Float[Tensor, "B J"]]:
        """Keypoints in input pixels and scores with a gradient: mean of the bins near the peak, or (`soft`) of all."""
        coordinates, scores = zip(*(_mean_bin(axis, soft) for axis in self._axes(logits)))
        return torch.stack(coordinates, -1) / BINS_PER_PIXEL, torch.minimum(*scores)

    def mirror(self, logits: Float[Tensor, "B J bins"], flip_index: Tensor) -> Float[Tensor, "B J bins"]:
        """Logits of horizontally flipped crops, flipped back, with left and right joints swapped.

        Input pixel x is pixel W - 1 - x of the flipped crop, so bin b is bin 2 (W - 1) - b; the last bin has no
        counterpart.
        """
        x, y = self._axes(logits[:, flip_index])
        return torch.cat([x[..., :-1].flip(-1), x[..., -1:], y], dim=-1)

    def targets(
        self, keypoints_input_xy: Float[Tensor, "B J 2"]
    ) -> tuple[tuple[Float[Tensor, "B J bins_x"], Float[Tensor, "B J bins_y"]], Bool[Tensor, "B J"]]:
        """Smoothed labels along x and y, and whether a joint falls into a bin (mmpose: SimCCLabel, "standard")."""
        bins = (keypoints_input_xy * BINS_PER_PIXEL).round().long()
        last = torch.tensor(self.bins, device=bins.device)
        inside = ((bins >= 0) & (bins < last)).all(-1)
        x, y = (_smoothed(bins[..., axis].clamp(0, size - 1), size) for axis, size in enumerate(self.bins))
        return (x, y), inside

    def loss(
        self,
        logits: Float[Tensor, "B J bins"],
        keypoints_input_xy: Float[Tensor, "B J 2"],
        labelled: Bool[Tensor, "B J"],
        input_hw: tuple[int, int],
    ) -> Float[Tensor, ""]:
        """Target loss l_t: KL divergence of both axes, mean over bins, joints and crops (mmpose: KLDiscretLoss)."""
        targets, inside = self.targets(keypoints_input_xy)
        divergence = [
            F.kl_div(axis.float().log_softmax(-1), target, reduction="none").mean(-1)
            for axis, target in zip(self._axes(logits), targets)
        ]
        return ((divergence[0] + divergence[1]) * (labelled & inside)).mean()

    def input_per_feature(self, size_hw: tuple[int, int], input_hw: tuple[int, int]) -> Float[Tensor, "2"]:
        """Input pixels per feature pixel, along x and y."""
        return torch.tensor([input_hw[1] / size_hw[1], input_hw[0] / size_hw[0]])

    def _axes(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        x, y = logits.split(self.bins, dim=-1)
        return x, y


def _smoothed(bins: Int[Tensor, "B J"], size: int) -> Float[Tensor, "B J size"]:
    """One-hot labels with label smoothing."""
    one_hot = F.one_hot(bins, size).float()
    return one_hot * (1 - SMOOTHING) + (1 - one_hot) * (SMOOTHING / (size - 1))


def _mean_bin(logits: Tensor, soft: bool) -> tuple[Tensor, Tensor]:
    """Mean bin and the highest probability along one axis, `[B, J]` each."""
    probability = logits.float().softmax(-1)
    bins = torch.arange(probability.shape[-1], device=probability.device)
    peak = probability.max(-1)
    if not soft:
        probability = probability * ((bins - peak.indices[..., None]).abs() <= RADIUS)
    return (probability * bins).sum(-1) / probability.sum(-1), peak.values
