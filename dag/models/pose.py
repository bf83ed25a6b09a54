"""The pose model: a backbone and a head, with attention and graph where wanted.

To add a backbone: write one file in dag/backbones/ with a module that has `channels`, `stride` and `multiple` (what
height and width must be divisible by) and maps `[B, 3, H, W]` to `[B, channels, H / stride, W / stride]`, and add a
line to `BACKBONES`. tests/test_backbones.py finds it there.

To add a head: write one file in dag/heads/ with a module that has `joints`, `has_heatmaps`, `output` (the name of
its predictions) and the methods of `HeatmapHead`
(forward, decode, locate, mirror, loss, input_per_feature), and a
line in `HEADS` and `build_model`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from dag.attention import AdaptiveDiscriminativeAttention, draw_center_offsets
from dag.errors import UserError
from dag.graph import FeatureGuidedMultiHopGCN
from dag.models.backbones.hrnet import hrnet_tiny, hrnet_w32, hrnet_w48
from dag.models.backbones.resnet import resnet
from dag.models.heads.heatmap import HeatmapHead
from dag.models.heads.simcc import SimccHead
from dag.skeleton import get_skeleton

BACKBONES = {
    "hrnet_tiny": hrnet_tiny,
    "hrnet_w32": hrnet_w32,
    "hrnet_w48": hrnet_w48,
    "resnet50": resnet((3, 4, 6, 3)),
    "resnet101": resnet((3, 4, 23, 3)),
    "resnet152": resnet((3, 8, 36, 3)),
}
HEADS = ("heatmap", "simcc")
DECODES = ("local", "soft")


@dataclass
class PoseOutput:
    """What the model says of a batch of crops.

    Attributes:
        target: what the head says of the target person's joints, for the head's own `decode` and `loss`.
        heatmaps: `[B, J, H, W]`, the same where the head has heatmaps, or None.
        multi_person_heatmaps: `[B, J, H, W]`, everyone's joints, or None.
        refined_xy: `[B, J, 2]`, the graph's joints in input pixels (pixel-index frame), or None.
    """

    target: Tensor
    heatmaps: Tensor | None
    multi_person_heatmaps: Tensor | None = None
    refined_xy: Tensor | None = None


class DagPose(nn.Module):
    """Composes what it is given; `build_model` builds named ones.

    Args:
        backbone: crops to features; has `channels`, `stride`, `multiple`.
        head: features to joints, e.g. `HeatmapHead`.
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
        self.head: Any = head
        self.attention = attention
        self.multi_person_head: Any = multi_person_head
        self.graph = graph
        self.center_jitter = center_jitter
        self.soft = _known("decode", decode, DECODES) == "soft"
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
        target = self.head(features)
        refined_xy = None
        if self.graph is not None:
            input_hw = (images.shape[-2], images.shape[-1])
            start_xy, peak = self.head.locate(target, input_hw, soft=self.soft)
            scale = self.head.input_per_feature((features.shape[-2], features.shape[-1]), input_hw).to(images.device)
            refined_xy = self.graph(features, start_xy / scale, peak) * scale
        return PoseOutput(target, target if self.head.has_heatmaps else None, multi_person, refined_xy)

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
    codec: str = "msra",
    sigma: float = 2.0,
    input_wh: tuple[int, int] = (192, 256),
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
        head: "heatmap" or "simcc".
        codec, sigma: of the heatmaps (`HeatmapHead`).
        input_wh: width and height of the network's input: SimCC is made for one size.
        skeleton: name of a skeleton, or a description of one (`Skeleton.text`).
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
    body = BACKBONES[_known("backbone", backbone, BACKBONES)]()
    _known("head", head, HEADS)
    channels, joints = body.channels, len(bones)
    heatmaps = partial(HeatmapHead, channels, joints, codec=codec, sigma=sigma)
    simcc = partial(SimccHead, channels, joints, input_hw=(input_wh[1], input_wh[0]), stride=body.stride)
    attention = AdaptiveDiscriminativeAttention(channels, fusion=fusion, residual=residual) if adam else None
    refinement = (
        FeatureGuidedMultiHopGCN(channels, bones, hops=hops, width=width, blocks=blocks, detach=detach)
        if graph
        else None
    )
    return DagPose(
        body,
        heatmaps() if head == "heatmap" else simcc(),
        attention,
        refinement,
        multi_person_head=heatmaps() if adam else None,
        center_jitter=center_jitter,
        decode=decode,
        options=options,
    )


def _known(what: str, name: str, names: Iterable[str]) -> str:
    if name not in names:
        raise UserError(f"unknown {what}", expected=f"one of {', '.join(names)}", got=repr(name))
    return name
