"""What CE2P learns by: parts, edges between parts, and how much of each part is met."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from dag.parsing.ce2p import ParsingOutput

EDGES = 0.3
"""Weight of the edges' loss; 1 in the paper, which trains a hundred times longer."""


def parsing_loss(output: ParsingOutput, labels: Int[Tensor, "B H W"]) -> Float[Tensor, ""]:
    """Cross-entropy of both part predictions, overlap of the fused one, and edges, at the predictions' resolution.

    The first and the last as CE2P (Ruan et al., AAAI 2019), edges, which are few, weighted by the share of pixels that
    are none. Overlap (`overlap_loss`) makes small parts count as much as large ones.
    """
    size = (output.fused.shape[-2], output.fused.shape[-1])
    gt = F.interpolate(labels[:, None].float(), size, mode="nearest")[:, 0].long()
    fused = output.fused.float()
    parts = F.cross_entropy(output.parts.float(), gt) + F.cross_entropy(fused, gt)
    edges = edge_map(gt)
    share = edges.float().mean().clamp(0.01, 0.99)  # a batch may have no edge, or nothing else
    edge_loss = F.cross_entropy(output.edges.float(), edges, torch.stack([share, 1 - share]))
    return parts + overlap_loss(fused, gt) + EDGES * edge_loss


def overlap_loss(logits: Float[Tensor, "B L H W"], labels: Int[Tensor, "B H W"]) -> Float[Tensor, ""]:
    """One minus the mean Dice overlap of the labels over the batch (Milletari et al., V-Net, 2016)."""
    share = logits.softmax(1)
    gt = F.one_hot(labels, logits.shape[1]).permute(0, 3, 1, 2)
    both, sum_ = (share * gt).sum((0, 2, 3)), share.sum((0, 2, 3)) + gt.sum((0, 2, 3))
    return 1 - ((2 * both + 1) / (sum_ + 1)).mean()


def edge_map(labels: Int[Tensor, "B H W"]) -> Int[Tensor, "B H W"]:
    """1 on pixels whose right, lower or lower right neighbour has another label, and next to them."""
    edges = torch.zeros_like(labels)
    edges[:, :, :-1] |= (labels[:, :, :-1] != labels[:, :, 1:]).long()
    edges[:, :-1] |= (labels[:, :-1] != labels[:, 1:]).long()
    edges[:, :-1, :-1] |= (labels[:, :-1, :-1] != labels[:, 1:, 1:]).long()
    return F.max_pool2d(edges[:, None].float(), 3, stride=1, padding=1)[:, 0].long()
