"""Training loss of CE2P: cross-entropy of parts and edges, and Dice loss of parts."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from dag.parsing.ce2p import ParsingOutput

EDGE_WEIGHT = 0.3
"""Weight of the edge loss; 1 in the paper, whose training is a hundred times longer."""


def parsing_loss(output: ParsingOutput, labels: Int[Tensor, "B H W"]) -> Float[Tensor, ""]:
    """Cross-entropy of both part predictions, Dice loss of the fused one and edge loss, at the logits' resolution.

    Cross-entropy and edge loss as in CE2P (Ruan et al., AAAI 2019); the edge class is weighted by the fraction of
    non-edge pixels. `dice_loss` gives small parts the same weight as large ones.
    """
    size = (output.fused.shape[-2], output.fused.shape[-1])
    gt = F.interpolate(labels[:, None].float(), size, mode="nearest")[:, 0].long()
    fused = output.fused.float()
    parts = F.cross_entropy(output.parts.float(), gt) + F.cross_entropy(fused, gt)
    edges = edge_map(gt)
    edge_fraction = edges.float().mean().clamp(0.01, 0.99)  # a batch may have no edge pixels, or only edge pixels
    edge_loss = F.cross_entropy(output.edges.float(), edges, torch.stack([edge_fraction, 1 - edge_fraction]))
    return parts + dice_loss(fused, gt) + EDGE_WEIGHT * edge_loss


def dice_loss(logits: Float[Tensor, "B L H W"], labels: Int[Tensor, "B H W"]) -> Float[Tensor, ""]:
    """One minus the mean Dice coefficient of the labels over the batch (Milletari et al., V-Net, 2016)."""
    probability = logits.softmax(1)
    gt = F.one_hot(labels, logits.shape[1]).permute(0, 3, 1, 2)
    intersection = (probability * gt).sum((0, 2, 3))
    sizes = probability.sum((0, 2, 3)) + gt.sum((0, 2, 3))
    return 1 - ((2 * intersection + 1) / (sizes + 1)).mean()


def edge_map(labels: Int[Tensor, "B H W"]) -> Int[Tensor, "B H W"]:
    """1 for pixels whose right, lower or lower right neighbour has another label, dilated by one pixel; else 0."""
    edges = torch.zeros_like(labels)
    edges[:, :, :-1] |= (labels[:, :, :-1] != labels[:, :, 1:]).long()
    edges[:, :-1] |= (labels[:, :-1] != labels[:, 1:]).long()
    edges[:, :-1, :-1] |= (labels[:, :-1, :-1] != labels[:, 1:, 1:]).long()
    return F.max_pool2d(edges[:, None].float(), 3, stride=1, padding=1)[:, 0].long()
