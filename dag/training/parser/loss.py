"""What CE2P learns by: parts, edges between parts, and how much of each part is met."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from dag.data.parsing.ce2p import ParsingOutput


def parsing_loss(output: ParsingOutput, labels: Int[Tensor, "B H W"]) -> Float[Tensor, ""]:
    """Cross-entropy of both part predictions and of the edges, each at the predictions' resolution times two.

    As CE2P (Ruan et al., AAAI 2019): the three losses count alike, and edges, which are few, are weighted by the share
    of pixels that are none.
    """
    size = (2 * output.fused.shape[-2], 2 * output.fused.shape[-1])
    truth = F.interpolate(labels[:, None].float(), size, mode="nearest")[:, 0].long()
    edges = edge_map(truth)
    share = edges.float().mean()
    weight = torch.stack([share, 1 - share])
    parts = F.cross_entropy(_enlarged(output.parts, size), truth) + F.cross_entropy(
        _enlarged(output.fused, size), truth
    )
    return parts + F.cross_entropy(_enlarged(output.edges, size), edges, weight)


def edge_map(labels: Int[Tensor, "B H W"]) -> Int[Tensor, "B H W"]:
    """1 on pixels whose right, lower or lower right neighbour has another label, and next to them."""
    edges = torch.zeros_like(labels)
    edges[:, :, :-1] |= (labels[:, :, :-1] != labels[:, :, 1:]).long()
    edges[:, :-1] |= (labels[:, :-1] != labels[:, 1:]).long()
    edges[:, :-1, :-1] |= (labels[:, :-1, :-1] != labels[:, 1:, 1:]).long()
    return F.max_pool2d(edges[:, None].float(), 3, stride=1, padding=1)[:, 0].long()


def _enlarged(logits: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(logits.float(), size, mode="bilinear", align_corners=True)
