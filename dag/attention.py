"""A: which features belong to the person in the middle of the crop (Xu et al., ICASSP 2024, section 2.2).

Shapes: features `F_m [B, C, H, W]`, N = H W places. Where the paper is silent the choice is a parameter or is named.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from dag.errors import UserError

FUSIONS = ("parallel", "series")
INIT_STD = 0.001


def draw_center_offsets(batch: int, jitter: int, generator: torch.Generator) -> Int[Tensor, "B 2"]:
    """For every crop an (x, y) offset in feature pixels, uniform over -jitter ... jitter.

    Args:
        batch: number of crops B.
        jitter: largest offset; the paper's text leaves it open, 1 by default in `build_model`.
        generator: its state alone decides the result; the offsets lie on its device.
    """
    return torch.randint(-jitter, jitter + 1, (batch, 2), generator=generator, device=generator.device)


class ChannelAttention(nn.Module):
    """Eq. 1: `F_c = F_m * Linear(F_i)`, the features at the body's centre choose among the channels. No sigmoid.

    F_i is F_m at the crop's centre, place (x, y) = (W // 2, H // 2): the crop is cut so that the box's centre lies at
    input pixel `input_wh / 2`, which is feature pixel `(W / 2, H / 2)` at `feature_xy = input_xy / stride`. The linear
    layer has weights of std .001 and bias 1: training starts at the identity.

    Args:
        channels: C.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.linear = nn.Linear(channels, channels)
        nn.init.normal_(self.linear.weight, std=INIT_STD)
        nn.init.ones_(self.linear.bias)

    def forward(
        self, features: Float[Tensor, "B C H W"], center_offsets: Int[Tensor, "B 2"] | None = None
    ) -> Float[Tensor, "B C H W"]:
        """Weighted features.

        Args:
            features: F_m.
            center_offsets: (x, y) in feature pixels, added to the centre (`draw_center_offsets`, while training); what
                would leave the map stays on its border. None: the centre itself.
        """
        return features * self.linear(center_features(features, center_offsets))[:, :, None, None]


def center_features(
    features: Float[Tensor, "B C H W"], center_offsets: Int[Tensor, "B 2"] | None = None
) -> Float[Tensor, "B C"]:
    """F_i of Eq. 1."""
    height, width = features.shape[-2:]
    if center_offsets is None:
        return features[:, :, height // 2, width // 2]
    offset_x, offset_y = center_offsets.to(features.device).unbind(1)
    x = (width // 2 + offset_x).clamp(0, width - 1)
    y = (height // 2 + offset_y).clamp(0, height - 1)
    return features[torch.arange(len(features), device=features.device), :, y, x]


class SpatialAttention(nn.Module):
    """Eq. 2: `F_s = V softmax(K^T Q)^T`, every place gathers the values of the places that resemble it.

    Q and K come from 1 x 1 convolutions, V from a 3 x 3 and a 1 x 1. The softmax runs over the places of Q: place n
    of the result is `sum_m softmax_m(K_n . Q_m) V_m`. That is scaled dot product attention with K as the query, Q as
    the key and scale 1, so the N x N matrix (36 MiB a crop at 256 x 192) is never in memory. Q and K start at std
    .001: at first every place gets the mean of V.

    Args:
        channels: C.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Conv2d(channels, channels, 1)
        self.value = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, channels, 1))
        for convolution in (self.query, self.key):
            nn.init.normal_(convolution.weight, std=INIT_STD)
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Gathered features."""
        query, key, value = (_places(layer(features)) for layer in (self.query, self.key, self.value))
        gathered = F.scaled_dot_product_attention(key, query, value, scale=1.0)
        return gathered[:, 0].transpose(1, 2).reshape(features.shape)


def _places(features: Tensor) -> Tensor:
    """`[B, C, H, W]` to `[B, 1, N, C]`, one head, in the layout that the fused kernels want."""
    return features.flatten(2).transpose(1, 2).contiguous()[:, None]


class AdaptiveDiscriminativeAttention(nn.Module):
    """ADAM: channel and spatial attention, joined by a 1 x 1 convolution and ReLU (as in CID, Wang & Zhang 2022).

    `parallel`: `ReLU(conv([F_c, F_s]))`; `series`: `ReLU(conv(F_s(F_c)))`. With `residual`, F_m is added after the
    ReLU. Where a path through is there (parallel, or residual) the convolution starts so that the whole is the
    identity on features that are not negative: a backbone's published weights keep what they know.

    Args:
        channels: C.
        fusion: "parallel" or "series".
        residual: add F_m to the result.

    Raises:
        UserError: an unknown fusion.
    """

    def __init__(self, channels: int, *, fusion: str = "parallel", residual: bool = False):
        super().__init__()
        if fusion not in FUSIONS:
            raise UserError("unknown fusion", expected=f"one of {', '.join(FUSIONS)}", got=repr(fusion))
        self.series = fusion == "series"
        self.residual = residual
        self.channel = ChannelAttention(channels)
        self.spatial = SpatialAttention(channels)
        self.fuse = nn.Conv2d(channels if self.series else 2 * channels, channels, 1)
        if residual or not self.series:
            nn.init.normal_(self.fuse.weight, std=INIT_STD)
            nn.init.zeros_(self.fuse.bias)  # type: ignore[arg-type]
        if not (residual or self.series):
            with torch.no_grad():
                self.fuse.weight[:, :channels, 0, 0] += torch.eye(channels)

    def forward(
        self, features: Float[Tensor, "B C H W"], center_offsets: Int[Tensor, "B 2"] | None = None
    ) -> Float[Tensor, "B C H W"]:
        """Features of the target person; `center_offsets` as in `ChannelAttention`."""
        by_channel = self.channel(features, center_offsets)
        joined = self.spatial(by_channel) if self.series else torch.cat([by_channel, self.spatial(features)], 1)
        fused = torch.relu(self.fuse(joined))
        return fused + features if self.residual else fused
