"""Adaptive discriminative attention, A of DAG: features of the target person (Xu et al., ICASSP 2024, section 2.3).

The target is the person at the centre of the crop. Features are `F_m [B, C, H, W]` with N = H W spatial positions.
Choices that the paper leaves open are parameters, or are stated in the docstrings.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from dag.errors import UserError

FUSIONS = ("parallel", "series")
INIT_STD = 0.001


def draw_center_offsets(batch: int, jitter: int, generator: torch.Generator) -> Int[Tensor, "B 2"]:
    """Random (x, y) offset of the centre of each crop in feature pixels, uniform over -jitter ... jitter.

    Args:
        batch: number of crops, B.
        jitter: largest offset. The paper gives no value; `build_model` uses 1 by default.
        generator: sole source of randomness; the result is on its device.
    """
    return torch.randint(-jitter, jitter + 1, (batch, 2), generator=generator, device=generator.device)


class ChannelAttention(nn.Module):
    """Channel attention, Eq. 1: `F_c = F_m * Linear(F_i)`, channels weighted by the features at the body's centre.

    F_i is F_m at the crop's centre, feature pixel (x, y) = (W // 2, H // 2). The centre of the bounding box lies at
    input pixel `input_wh / 2`, which is `(W / 2, H / 2)` under `feature_xy = input_xy / stride`. No sigmoid is applied.
    The linear layer is initialised with weights of std 0.001 and bias 1, close to the identity.

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
        """Weighted features F_c.

        Args:
            features: F_m.
            center_offsets: (x, y) in feature pixels, added to the centre in training (`draw_center_offsets`) and
                clamped to the feature map; None uses the centre itself.
        """
        return features * self.linear(center_features(features, center_offsets))[:, :, None, None]


def center_features(
    features: Float[Tensor, "B C H W"], center_offsets: Int[Tensor, "B 2"] | None = None
) -> Float[Tensor, "B C"]:
    """F_i of Eq. 1: the features at the crop's centre, or at the centre moved by `center_offsets`."""
    height, width = features.shape[-2:]
    if center_offsets is None:
        return features[:, :, height // 2, width // 2]
    offset_x, offset_y = center_offsets.to(features.device).unbind(1)
    x = (width // 2 + offset_x).clamp(0, width - 1)
    y = (height // 2 + offset_y).clamp(0, height - 1)
    return features[torch.arange(len(features), device=features.device), :, y, x]


class SpatialAttention(nn.Module):
    """Spatial attention, Eq. 2: `F_s = V softmax(K^T Q)^T`, values aggregated over similar positions.

    Q and K come from 1 x 1 convolutions, V from a 3 x 3 and a 1 x 1 convolution. The softmax runs over the positions
    of Q: position n of the result is `sum_m softmax_m(K_n . Q_m) V_m`. This equals scaled dot-product attention with K
    as the query, Q as the key and scale 1, so the N x N matrix (36 MiB per crop at 256 x 192) is never materialised.
    Q and K are initialised with std 0.001, so every position initially receives the mean of V.

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
        """Aggregated features F_s."""
        query, key, value = (_as_tokens(layer(features)) for layer in (self.query, self.key, self.value))
        aggregated = F.scaled_dot_product_attention(key, query, value, scale=1.0)
        return aggregated[:, 0].transpose(1, 2).reshape(features.shape)


def _as_tokens(features: Tensor) -> Tensor:
    """`[B, C, H, W]` as `[B, 1, N, C]`: one head, contiguous as the fused kernels require."""
    return features.flatten(2).transpose(1, 2).contiguous()[:, None]


class AdaptiveDiscriminativeAttention(nn.Module):
    """ADAM: channel and spatial attention fused by a 1 x 1 convolution and ReLU (as in CID, Wang & Zhang, CVPR 2022).

    `parallel`: `ReLU(conv([F_c, F_s]))`; `series`: `ReLU(conv(F_s(F_c)))`. With `residual`, F_m is added after the
    ReLU. With `parallel` or `residual` the module is initialised close to the identity on non-negative features, so
    that a pretrained backbone is preserved at the start of training.

    Args:
        channels: C.
        fusion: "parallel" or "series".
        residual: whether F_m is added to the result.

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
        channel_weighted = self.channel(features, center_offsets)
        if self.series:
            combined = self.spatial(channel_weighted)
        else:
            combined = torch.cat([channel_weighted, self.spatial(features)], 1)
        fused = torch.relu(self.fuse(combined))
        return fused + features if self.residual else fused
