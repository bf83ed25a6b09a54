"""SimCC: each coordinate of a joint is a class of its own (Li et al., ECCV 2022)."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

BINS_A_PIXEL = 2
SMOOTHING = 0.1
RADIUS = 12
"""Bins round the most probable one over which `locate` integrates."""


class SimccHead(nn.Module):
    """A 1 x 1 convolution to a picture a joint, and two linear layers from it to the bins along x and along y.

    What it says is one tensor `[B, J, bins]`: logits of `2 W` bins along x, then of `2 H` bins along y; bin b stands
    for input pixel b / 2.

    Args:
        channels: of the features.
        joints: J.
        input_hw: height and width of the network's input: a head is made for one size.
        stride: input pixels a feature pixel.
    """

    has_heatmaps = False
    output = "simcc"

    def __init__(self, channels: int, joints: int, *, input_hw: tuple[int, int], stride: int = 4):
        super().__init__()
        self.joints = joints
        self.bins = (BINS_A_PIXEL * input_hw[1], BINS_A_PIXEL * input_hw[0])
        places = (input_hw[0] // stride) * (input_hw[1] // stride)
        self.final_layer = nn.Conv2d(channels, joints, 1)
        self.mlp_head_x = nn.Linear(places, self.bins[0])
        self.mlp_head_y = nn.Linear(places, self.bins[1])
        for layer in (self.mlp_head_x, self.mlp_head_y):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B J bins"]:
        """Features to logits."""
        places = self.final_layer(features).flatten(2)
        return torch.cat([self.mlp_head_x(places), self.mlp_head_y(places)], dim=-1)

    def decode(
        self, logits: Float[Tensor, "B J bins"], input_hw: tuple[int, int]
    ) -> tuple[Float[Tensor, "B J 2"], Float[Tensor, "B J"]]:
        """Joints in input pixels and their scores: the smaller of the two highest probabilities."""
        highest = [axis.float().softmax(-1).max(-1) for axis in self._axes(logits)]
        xy = torch.stack([found.indices for found in highest], -1) / BINS_A_PIXEL
        return xy, torch.minimum(highest[0].values, highest[1].values)

    def locate(
        self, logits: Float[Tensor, "B J bins"], input_hw: tuple[int, int], soft: bool
    ) -> tuple[Float[Tensor, "B J 2"], Float[Tensor, "B J"]]:
        """As `decode`, in a way that gradients pass: mean place near the most probable bin, or (`soft`) of all bins."""
        places, peaks = zip(*(_mean_place(axis, soft) for axis in self._axes(logits)))
        return torch.stack(places, -1) / BINS_A_PIXEL, torch.minimum(*peaks)

    def mirror(self, logits: Float[Tensor, "B J bins"], flip_index: Tensor) -> Float[Tensor, "B J bins"]:
        """What the head said of mirrored crops, as if it had been said of the crops.

        Input pixel x is W - 1 - x of the mirrored crop, so bin b is bin 2 (W - 1) - b; the last bin has no partner.
        """
        x, y = self._axes(logits[:, flip_index])
        back = torch.cat([x[..., :-1].flip(-1), x[..., -1:]], dim=-1)
        return torch.cat([back, y], dim=-1)

    def targets(
        self, keypoints_input_xy: Float[Tensor, "B J 2"]
    ) -> tuple[tuple[Float[Tensor, "B J bins_x"], Float[Tensor, "B J bins_y"]], Bool[Tensor, "B J"]]:
        """Smoothed classes along x and y, and which joints lie on a bin (mmpose: SimCCLabel, "standard")."""
        bins = (keypoints_input_xy * BINS_A_PIXEL).round().long()
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
        """l_t: Kullback-Leibler divergence of both axes, mean over bins, joints and crops (mmpose: KLDiscretLoss)."""
        targets, inside = self.targets(keypoints_input_xy)
        divergence = [
            F.kl_div(axis.float().log_softmax(-1), target, reduction="none").mean(-1)
            for axis, target in zip(self._axes(logits), targets)
        ]
        return ((divergence[0] + divergence[1]) * (labelled & inside)).mean()

    def input_per_feature(self, size_hw: tuple[int, int], input_hw: tuple[int, int]) -> Float[Tensor, "2"]:
        """Input pixels a feature pixel, along x and y."""
        return torch.tensor([input_hw[1] / size_hw[1], input_hw[0] / size_hw[0]])

    def _axes(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        x, y = logits.split(self.bins, dim=-1)
        return x, y


def _smoothed(bins: Int[Tensor, "B J"], size: int) -> Float[Tensor, "B J size"]:
    share = F.one_hot(bins, size).float()
    return share * (1 - SMOOTHING) + (1 - share) * (SMOOTHING / (size - 1))


def _mean_place(logits: Tensor, soft: bool) -> tuple[Tensor, Tensor]:
    """Mean bin and the highest probability along one axis, `[B, J]` each."""
    share = logits.float().softmax(-1)
    bin_ = torch.arange(share.shape[-1], device=share.device)
    peak = share.max(-1)
    if not soft:
        share = share * ((bin_ - peak.indices[..., None]).abs() <= RADIUS)
    return (share * bin_).sum(-1) / share.sum(-1), peak.values
