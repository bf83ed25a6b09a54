"""G: joints that inform each other over the skeleton's bones (Xu et al., ICASSP 2024, section 2.3).

Shapes: nodes `[B, J, D]`, one row a joint (the paper writes M as D x N, one column a joint; N = J).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from dag.skeleton import Skeleton


def hop_rings(skeleton: Skeleton, hops: int) -> Float[Tensor, "K J J"]:
    """A_1 ... A_K: A_k joins the joints that are EXACTLY k bones apart, normalised as `D^-1/2 A D^-1/2`.

    No self-loops; a joint that has nobody at that distance keeps a row of zeros.
    """
    distance = torch.from_numpy(skeleton.hops)
    rings = torch.stack([distance == hop for hop in range(1, hops + 1)]).float()
    scale = rings.sum(2).clamp(min=1).rsqrt()
    return scale[:, :, None] * rings * scale[:, None, :]


class MultiHopGraphConv(nn.Module):
    """Eq. 3 without its sigma: `sum_k w_k o (W0 M + W1 M A_k)`.

    `w_k [D, J]` weighs each channel of each joint; all start at 1 / K. There is no bias: sigma is batch normalisation
    and ReLU (`GraphLayer`).

    Args:
        inputs: channels in.
        outputs: channels out, D.
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
        """New channels of every joint."""
        # M A_k in our order of axes is A_k^T nodes; one [D, J, J] map joins all K hops before the batch is touched.
        joined = torch.einsum("kdj,kij->dji", self.hop_weights, self.rings)
        from_others = torch.einsum("dji,bid->bjd", joined, self.others(nodes))
        return self.hop_weights.sum(0).T * self.own(nodes) + from_others


class GraphLayer(nn.Module):
    """A multi-hop convolution, batch normalisation over crops and joints, ReLU."""

    def __init__(self, inputs: int, outputs: int, rings: Float[Tensor, "K J J"]):
        super().__init__()
        self.convolution = MultiHopGraphConv(inputs, outputs, rings)
        self.norm = nn.BatchNorm1d(outputs)

    def forward(self, nodes: Float[Tensor, "B J I"]) -> Float[Tensor, "B J D"]:
        """New channels of every joint."""
        return torch.relu(self.norm(self.convolution(nodes).transpose(1, 2)).transpose(1, 2))


class FeatureGate(nn.Module):
    """Lets features into the nodes: `M + sigmoid(G [M, f]) o (E f)`.

    Args:
        width: D.
        channels: of the features f, C.
    """

    def __init__(self, width: int, channels: int):
        super().__init__()
        self.embed = nn.Linear(channels, width)
        self.gate = nn.Linear(width + channels, width)

    def forward(self, nodes: Float[Tensor, "B J D"], features: Float[Tensor, "B J C"]) -> Float[Tensor, "B J D"]:
        """Nodes that know what the image shows at their place."""
        return nodes + torch.sigmoid(self.gate(torch.cat([nodes, features], -1))) * self.embed(features)


def sample_features(features: Float[Tensor, "B C H W"], xy: Float[Tensor, "B J 2"]) -> Float[Tensor, "B J C"]:
    """Features at (x, y) in feature pixels (pixel-index frame), bilinear; the border goes on outside."""
    size = torch.tensor([features.shape[-1], features.shape[-2]], device=xy.device)
    grid = ((xy + 0.5) / size * 2 - 1).to(features.dtype)
    sampled = F.grid_sample(features, grid[:, :, None], padding_mode="border", align_corners=False)
    return sampled[..., 0].transpose(1, 2)


def _offset(width: int) -> nn.Linear:
    """Node to (x, y) in heatmap pixels, near zero at first."""
    layer = nn.Linear(width, 2)
    nn.init.normal_(layer.weight, std=0.001)
    nn.init.zeros_(layer.bias)
    return layer


class FeatureGuidedMultiHopGCN(nn.Module):
    """FGMH-GCN: corrects joints by the skeleton's structure and by the features where they seem to be.

    A node is (x, y, peak) of a joint, x and y as -1 ... 1 over the map, with the features found there. Each block
    is two graph layers with a short cut; after each the joints move by a learned offset, and before the next the
    features at their new place are gated in (the place itself passes no gradient). Offsets start near zero: the
    result starts at the coordinates given.

    Args:
        channels: of the feature map, C.
        skeleton: whose bones make the hop rings.
        hops: K.
        width: D.
        blocks: residual blocks.
        detach: no gradient reaches the features and the coordinates given. A network that is trained from nothing
            needs it: gradients of l_p through heatmaps that have no peak yet keep them from getting one.
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
        self.offsets = nn.ModuleList(_offset(width) for _ in range(blocks))

    def forward(
        self, features: Float[Tensor, "B C H W"], xy: Float[Tensor, "B J 2"], peak: Float[Tensor, "B J"]
    ) -> Float[Tensor, "B J 2"]:
        """Refined joints.

        Args:
            features: the map that the heatmaps were made from.
            xy: joints in heatmap pixels, which are feature pixels.
            peak: height of each heatmap's peak.
        """
        if self.detach:
            features, xy, peak = features.detach(), xy.detach(), peak.detach()
        size = torch.tensor([features.shape[-1], features.shape[-2]], device=xy.device)
        place = torch.cat([(xy + 0.5) / size * 2 - 1, peak[..., None]], -1)
        nodes = self.embed(torch.cat([place, sample_features(features, xy.detach())], -1))
        for index, (block, offset) in enumerate(zip(self.blocks, self.offsets)):
            if index > 0:
                nodes = self.gates[index - 1](nodes, sample_features(features, xy.detach()))
            nodes = nodes + block(nodes)
            xy = xy + offset(nodes).float()
        return xy
