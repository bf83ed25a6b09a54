"""The pose model: a backbone and a head, with optional attention and graph.

To add a backbone:
1. Write dag/models/backbones/<name>.py with a module that has `channels`, `stride` and `multiple` (height and width of
   the input must be divisible by it) and maps `[B, 3, H, W]` to `[B, channels, H / stride, W / stride]`.
2. Add it to `BACKBONES`. tests/models/backbones/test_backbones.py runs for every entry.

To add a head:
1. Write dag/models/heads/<name>.py with a module that has the attributes and methods of `HeatmapHead` except `targets`:
   `joints`, `has_heatmaps`, `output`, `description`, `forward`, `decode`, `decode_differentiable`, `mirror`, `loss` and
   `input_per_feature`.
2. Add it to `HEADS`. tests/models/heads/test_heads.py runs for every entry.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
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

BACKBONES: dict[str, Callable[[], nn.Module]] = {
    "hrnet_tiny": hrnet_tiny,
    "hrnet_w32": hrnet_w32,
    "hrnet_w48": hrnet_w48,
    "resnet50": resnet((3, 4, 6, 3)),
    "resnet101": resnet((3, 4, 23, 3)),
    "resnet152": resnet((3, 8, 36, 3)),
}
HEADS: dict[str, Callable[..., nn.Module]] = {
    "heatmap": lambda channels, joints, *, codec, sigma, **_: HeatmapHead(channels, joints, codec=codec, sigma=sigma),
    "simcc": lambda channels, joints, *, input_hw, stride, **_: SimccHead(
        channels, joints, input_hw=input_hw, stride=stride
    ),
}
"""Functions `(channels, joints, *, input_hw, stride, codec, sigma)` that build a head; each takes what it needs."""

DECODES = ("local", "soft")


@dataclass
class PoseOutput:
    """Outputs for a batch of crops.

    Attributes:
        target: the head's output for the target person, input of the head's `decode` and `loss`.
        heatmaps: `[B, J, H, W]`, the same tensor if the head predicts heatmaps, else None.
        multi_person_heatmaps: `[B, J, H, W]`, joints of all persons in the crop, or None.
        refined_xy: `[B, J, 2]`, the graph's keypoints in input pixels (pixel-index frame), or None.
    """

    target: Tensor
    heatmaps: Tensor | None
    multi_person_heatmaps: Tensor | None = None
    refined_xy: Tensor | None = None


class DagPose(nn.Module):
    """Pose model composed of the given modules; `build_model` builds one by names.

    Args:
        backbone: from crops to features; has `channels`, `stride`, `multiple`.
        head: from features to keypoints, e.g. `HeatmapHead`.
        attention: from features F_m to features of the target person, e.g. `AdaptiveDiscriminativeAttention`.
        graph: from `(features, xy, peak)` to refined xy, e.g. `FeatureGuidedMultiHopGCN`; has `joints`.
        multi_person_head: from F_m to heatmaps of all persons, for l_m; used together with an attention.
        center_jitter: jitter of the attention's centre in training, in feature pixels.
        decode: initial keypoints of the graph: "local" (integration around the peak) or "soft" (soft-argmax).
        options: arguments of `build_model`, stored with the weights by `save_model`.

    Raises:
        UserError: graph and head have different numbers of joints, or `decode` is unknown.
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
        """Random `center_offsets` of `forward` for a training step of `batch` crops; None without jitter."""
        if self.attention is None or self.center_jitter == 0 or not self.training:
            return None
        return draw_center_offsets(batch, self.center_jitter, generator)

    def forward(self, images: Float[Tensor, "B 3 H W"], center_offsets: Int[Tensor, "B 2"] | None = None) -> PoseOutput:
        """Poses of the target persons.

        Args:
            images: RGB crops with ImageNet normalisation; height and width are divisible by the backbone's `multiple`.
            center_offsets: `draw_center_offsets(len(images), generator)` in training.

        Raises:
            UserError: the input size is not divisible, or training with jitter and without offsets.
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
            initial_xy, peak = self.head.decode_differentiable(target, input_hw, soft=self.soft)
            scale = self.head.input_per_feature((features.shape[-2], features.shape[-1]), input_hw).to(images.device)
            refined_xy = self.graph(features, initial_xy / scale, peak) * scale
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
    """A model by the names of its modules, initialised by torch's global random generator.

    Args:
        backbone: key of `BACKBONES`.
        head: key of `HEADS`.
        codec, sigma: heatmap codec (`HeatmapHead`).
        input_wh: width and height of the network's input; a SimCC head supports this size only.
        skeleton: name of a skeleton, or its description (`Skeleton.text`).
        adam: whether the model has the attention, and with it a heatmap head for all persons.
        graph: whether the model has the graph refinement.
        fusion, residual: of the attention (`AdaptiveDiscriminativeAttention`).
        center_jitter: jitter of the attention's centre in training, in feature pixels.
        hops, width, blocks, detach: of the graph (`FeatureGuidedMultiHopGCN`).
        decode: initial keypoints of the graph, "local" or "soft".

    Raises:
        UserError: a name is unknown; the text lists the known ones.
    """
    options = dict(locals())
    bones = get_skeleton(skeleton)
    build_backbone = BACKBONES[_known("backbone", backbone, BACKBONES)]
    build_head = HEADS[_known("head", head, HEADS)]
    # The order in which modules are built decides which random numbers initialise them.
    network: Any = build_backbone()
    channels, joints = network.channels, len(bones)
    head_options = {"input_hw": (input_wh[1], input_wh[0]), "stride": network.stride, "codec": codec, "sigma": sigma}
    attention = refinement = None
    if adam:
        attention = AdaptiveDiscriminativeAttention(channels, fusion=fusion, residual=residual)
    if graph:
        refinement = FeatureGuidedMultiHopGCN(channels, bones, hops=hops, width=width, blocks=blocks, detach=detach)
    return DagPose(
        network,
        build_head(channels, joints, **head_options),
        attention,
        refinement,
        multi_person_head=HEADS["heatmap"](channels, joints, **head_options) if adam else None,
        center_jitter=center_jitter,
        decode=decode,
        options=options,
    )


def _known(what: str, name: str, names: Iterable[str]) -> str:
    """`name`, if it is among `names`."""
    if name not in names:
        raise UserError(f"unknown {what}", expected=f"one of {', '.join(names)}", got=repr(name))
    return name
