"""The pose model: a backbone and a head, with attention and graph where wanted.

To add a backbone: write one file in dag/backbones/ with a module that has `channels`, `stride` and `multiple` (what
height and width must be divisible by) and maps `[B, 3, H, W]` to `[B, channels, H / stride, W / stride]`, and add a
line to `BACKBONES`. tests/test_backbones.py finds it there.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from dag.attention import AdaptiveDiscriminativeAttention, draw_center_offsets
from dag.backbones.hrnet import hrnet_tiny, hrnet_w32, hrnet_w48
from dag.backbones.resnet import resnet
from dag.errors import UserError
from dag.graph import FeatureGuidedMultiHopGCN
from dag.heads.coordinates import DECODERS
from dag.heads.heatmap import HeatmapHead
from dag.skeleton import get_skeleton

BACKBONES = {
    "hrnet_tiny": hrnet_tiny,
    "hrnet_w32": hrnet_w32,
    "hrnet_w48": hrnet_w48,
    "resnet50": resnet((3, 4, 6, 3)),
    "resnet101": resnet((3, 4, 23, 3)),
    "resnet152": resnet((3, 8, 36, 3)),
}
HEADS = {"heatmap": HeatmapHead}


@dataclass
class PoseOutput:
    """What the model says of a batch of crops.

    Attributes:
        heatmaps: `[B, J, H, W]`, the target person's joints.
        multi_person_heatmaps: `[B, J, H, W]`, everyone's joints, or None.
        refined_xy: `[B, J, 2]`, the graph's joints in input pixels (pixel-index frame), or None.
    """

    heatmaps: Tensor
    multi_person_heatmaps: Tensor | None = None
    refined_xy: Tensor | None = None


class DagPose(nn.Module):
    """Composes what it is given; `build_model` builds named ones.

    Args:
        backbone: crops to features; has `channels`, `stride`, `multiple`.
        head: features to heatmaps; has `joints`.
        attention: features F_m to the target person's features, e.g. `AdaptiveDiscriminativeAttention`.
        multi_person_head: F_m to everyone's heatmaps (for l_m); wants an attention, which then has somebody to tell
            the target from.
        graph: `(features, xy, peak)` to refined xy, e.g. `FeatureGuidedMultiHopGCN`; has `joints`.
        center_jitter: of the attention, in feature pixels, while training.
        decode: what the graph starts from: "local" (integration round the peak) or "soft" (soft-argmax).
        options: what `build_model` was called with, kept for the model's file.

    Raises:
        UserError: graph and head have different numbers of joints, or an unknown `decode`.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        attention: nn.Module | None = None,
        graph: nn.Module | None = None,
        *,
        multi_person_head: nn.Module | None = None,
        center_jitter: int = 0,
        decode: str = "local",
        options: dict[str, Any] | None = None,
    ):
        super().__init__()
        if graph is not None and graph.joints != head.joints:
            raise UserError("graph and head differ in joints", expected=head.joints, got=graph.joints)
        self.backbone = backbone
        self.head = head
        self.attention = attention
        self.multi_person_head = multi_person_head
        self.graph = graph
        self.center_jitter = center_jitter
        self.decode = _known("decode", decode, DECODERS)
        self.options = options

    def draw_center_offsets(self, batch: int, generator: torch.Generator) -> Int[Tensor, "B 2"] | None:
        """What `forward` wants for a training step of `batch` crops; None where nothing is jittered."""
        if self.attention is None or self.center_jitter == 0 or not self.training:
            return None
        return draw_center_offsets(batch, self.center_jitter, generator)

    def forward(self, images: Float[Tensor, "B 3 H W"], center_offsets: Int[Tensor, "B 2"] | None = None) -> PoseOutput:
        """Crops (RGB, ImageNet normalisation) to a pose each.

        Args:
            images: height and width divisible by the backbone's `multiple`.
            center_offsets: `draw_center_offsets(len(images), generator)` in training.

        Raises:
            UserError: a size that the backbone cannot halve, or training with jitter and no offsets.
        """
        self._check(images, center_offsets)
        features = self.backbone(images)
        multi_person = None if self.multi_person_head is None else self.multi_person_head(features)
        if self.attention is not None:
            features = self.attention(features, center_offsets)
        heatmaps = self.head(features)
        refined_xy = None
        if self.graph is not None:
            refined_xy = self.graph(features, *self.decode(heatmaps)) * self.backbone.stride
        return PoseOutput(heatmaps, multi_person, refined_xy)

    def _check(self, images: Tensor, center_offsets: Tensor | None) -> None:
        multiple: int = self.backbone.multiple  # type: ignore[assignment]
        height, width = images.shape[-2:]
        if height % multiple or width % multiple:
            expected = f"width and height divisible by {multiple}"
            raise UserError(
                "input size",
                expected=expected,
                got=f"{width} x {height}",
                do="change data.input_width, data.input_height",
            )
        if self.training and self.attention is not None and self.center_jitter and center_offsets is None:
            raise UserError(
                "training with centre jitter but no offsets",
                do="pass draw_center_offsets(len(images), generator), or build the model with center_jitter=0",
            )


def build_model(
    backbone: str,
    *,
    head: str = "heatmap",
    skeleton: str = "coco17",
    adam: bool = False,
    graph: bool = False,
    fusion: str = "parallel",
    residual: bool = False,
    center_jitter: int = 1,
    hops: int = 3,
    width: int = 128,
    blocks: int = 4,
    detach: bool = False,
    decode: str = "local",
) -> DagPose:
    """A model by name, with weights from torch's global random generator.

    Args:
        backbone: key of `BACKBONES`.
        head: key of `HEADS`.
        skeleton: name of a skeleton (dag.skeleton).
        adam: attention, and a head for everyone's joints beside it.
        graph: graph refinement.
        fusion, residual: of the attention (`AdaptiveDiscriminativeAttention`).
        center_jitter: of the attention's centre while training, in feature pixels.
        hops, width, blocks, detach: of the graph (`FeatureGuidedMultiHopGCN`).
        decode: "local" or "soft", where the graph starts.

    Raises:
        UserError: an unknown name; the text lists the known ones.
    """
    options = dict(locals())
    bones = get_skeleton(skeleton)
    body = _known("backbone", backbone, BACKBONES)()
    make_head = _known("head", head, HEADS)
    channels, joints = body.channels, len(bones)
    attention = AdaptiveDiscriminativeAttention(channels, fusion=fusion, residual=residual) if adam else None
    refinement = (
        FeatureGuidedMultiHopGCN(channels, bones, hops=hops, width=width, blocks=blocks, detach=detach)
        if graph
        else None
    )
    return DagPose(
        body,
        make_head(channels, joints),
        attention,
        refinement,
        multi_person_head=make_head(channels, joints) if adam else None,
        center_jitter=center_jitter,
        decode=decode,
        options=options,
    )


def _known(what: str, name: str, table: dict[str, Any]) -> Any:
    if name not in table:
        raise UserError(f"unknown {what}", expected=f"one of {', '.join(table)}", got=repr(name))
    return table[name]
