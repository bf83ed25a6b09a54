"""Feature-guided multi-hop graph convolution, G of DAG: keypoint refinement (Xu et al., ICASSP 2024, section 2.4).

Nodes are `[B, J, D]`, one row per joint. The paper writes M as D x N, one column per joint, with N = J.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from dag.skeleton import Skeleton


def hop_rings(skeleton: Skeleton, hops: int) -> Float[Tensor, "K J J"]:
    """Adjacency matrices A_1 ... A_K, symmetrically normalised as `D^-1/2 A D^-1/2`.

    A_k connects joints that are exactly k bones apart. There are no self-loops; a joint without neighbours at distance
    k has a row of zeros.
    """
    distance = torch.from_numpy(skeleton.hops)
    rings = torch.stack([distance == hop for hop in range(1, hops + 1)]).float()
    scale = rings.sum(2).clamp(min=1).rsqrt()
    return scale[:, :, None] * rings * scale[:, None, :]


class MultiHopGraphConv(nn.Module):
    """Multi-hop graph convolution, Eq. 3 without its sigma: `sum_k w_k o (W0 M + W1 M A_k)`.

    `w_k [D, J]` weights each channel of each joint and is initialised to 1 / K. There is no bias: sigma is batch
    normalisation and ReLU (`GraphLayer`).

    Args:
        inputs: input channels.
        outputs: output channels, D.
        rings: A_k of `hop_rings`.
    """

    rings: Tensor

    def __init__(self, inputs: int, outputs: int, rings: Float[Tensor, "K J J"]):
        super().__init__()
        hops, joints, _ = rings.shape
        self.own = nn.Linear(inputs, outputs, bias=False)
        self.others = nn.Linear(inputs, outputs, bias=False)
        self.hop_weights = nn.Parameter(torch.full((hops, outputs, joints), 1 / hops))
        self.register_buffer("rings", rings, persistent=False)

    def forward(self, nodes: Float[Tensor, "B J I"]) -> Float[Tensor, "B J D"]:
        """Updated nodes."""
        # M A_k is A_k^T nodes with one row per joint. The K hops are merged into one [D, J, J] map before the batch.
        merged_hops = torch.einsum("kdj,kij->dji", self.hop_weights, self.rings)
        from_others = torch.einsum("dji,bid->bjd", merged_hops, self.others(nodes))
        return self.hop_weights.sum(0).T * self.own(nodes) + from_others


class GraphLayer(nn.Module):
    """Multi-hop graph convolution, batch normalisation over crops and joints, ReLU."""

    def __init__(self, inputs: int, outputs: int, rings: Float[Tensor, "K J J"]):
        super().__init__()
        self.convolution = MultiHopGraphConv(inputs, outputs, rings)
        self.norm = nn.BatchNorm1d(outputs)

    def forward(self, nodes: Float[Tensor, "B J I"]) -> Float[Tensor, "B J D"]:
        """Updated nodes."""
        return torch.relu(self.norm(self.convolution(nodes).transpose(1, 2)).transpose(1, 2))


class FeatureGate(nn.Module):
    """Gated update of nodes by image features: `M + sigmoid(G [M, f]) o (E f)`.

    Args:
        width: channels of the nodes, D.
        channels: channels of the features f, C.
    """

    def __init__(self, width: int, channels: int):
        super().__init__()
        self.embed = nn.Linear(channels, width)
        self.gate = nn.Linear(width + channels, width)

    def forward(self, nodes: Float[Tensor, "B J D"], features: Float[Tensor, "B J C"]) -> Float[Tensor, "B J D"]:
        """Updated nodes; `features` are sampled at the joints' coordinates."""
        return nodes + torch.sigmoid(self.gate(torch.cat([nodes, features], -1))) * self.embed(features)


def sample_features(features: Float[Tensor, "B C H W"], xy: Float[Tensor, "B J 2"]) -> Float[Tensor, "B J C"]:
    """Features at (x, y) in feature pixels (pixel-index frame), bilinear, with the border replicated outside."""
    size = torch.tensor([features.shape[-1], features.shape[-2]], device=xy.device)
    grid = ((xy + 0.5) / size * 2 - 1).to(features.dtype)
    sampled = F.grid_sample(features, grid[:, :, None], padding_mode="border", align_corners=False)
    return sampled[..., 0].transpose(1, 2)


def _offset_layer(width: int) -> nn.Linear:
    """Linear layer from a node to its (x, y) offset in heatmap pixels, initialised near zero."""
    layer = nn.Linear(width, 2)
    nn.init.normal_(layer.weight, std=0.001)
    nn.init.zeros_(layer.bias)
    return layer


class FeatureGuidedMultiHopGCN(nn.Module):
    """FGMH-GCN: refines keypoints by the structure of the skeleton and the features at their locations.

    A node is a joint's (x, y, peak), with x and y normalised to -1 ... 1 over the feature map, and the features sampled
    there. Each residual block consists of two graph layers. After each block the joints move by a predicted offset;
    before the next, features at the new locations are gated into the nodes (no gradient passes through the sampling
    locations). Offsets are initialised near zero, so that the output starts at the input coordinates.

    Args:
        channels: channels of the feature map, C.
        skeleton: skeleton that defines the hop rings.
        hops: K.
        width: channels of the nodes, D.
        blocks: number of residual blocks.
        detach: stops the gradient to the input features and coordinates. Training from scratch needs it: gradients of
            l_p through heatmaps without a peak prevent a peak from forming.
    """

    def __init__(
        self,
        channels: int,
        skeleton: Skeleton,
        *,
        hops: int = 3,
        width: int = 128,
        blocks: int = 4,
        detach: bool = False,
    ):
        super().__init__()
        self.joints = len(skeleton)
        self.detach = detach
        rings = hop_rings(skeleton, hops)
        self.embed = nn.Linear(3 + channels, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(GraphLayer(width, width, rings), GraphLayer(width, width, rings)) for _ in range(blocks)
        )
        self.gates = nn.ModuleList(FeatureGate(width, channels) for _ in range(blocks - 1))
        self.offsets = nn.ModuleList(_offset_layer(width) for _ in range(blocks))

    def forward(
        self, features: Float[Tensor, "B C H W"], xy: Float[Tensor, "B J 2"], peak: Float[Tensor, "B J"]
    ) -> Float[Tensor, "B J 2"]:
        """Refined keypoints in heatmap pixels.

        Args:
            features: feature map that the heatmaps were predicted from.
            xy: initial keypoints in heatmap pixels, which are feature pixels.
            peak: maximum of each heatmap.
        """
        if self.detach:
            features, xy, peak = features.detach(), xy.detach(), peak.detach()
        size = torch.tensor([features.shape[-1], features.shape[-2]], device=xy.device)
        keypoints = torch.cat([(xy + 0.5) / size * 2 - 1, peak[..., None]], -1)
        nodes = self.embed(torch.cat([keypoints, sample_features(features, xy.detach())], -1))
        for index, (block, offset) in enumerate(zip(self.blocks, self.offsets)):
            if index > 0:
                nodes = self.gates[index - 1](nodes, sample_features(features, xy.detach()))
            nodes = nodes + block(nodes)
            xy = xy + offset(nodes).float()
        return xy
