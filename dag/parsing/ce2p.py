"""CE2P: human parsing with context, resolution and edges (Ruan et al., Devil in the Details, AAAI 2019).

The network consists of a ResNet of output stride 16 with a dilated last stage, pyramid pooling, a decoder that adds
low-level features, a branch that predicts edges between parts, and a fused prediction. Layers and their names are those
of the published SCHP networks (Li et al., TPAMI 2020; GoGoDuck912/Self-Correction-Human-Parsing,
networks/AugmentCE2P.py), so that their checkpoints load (`dag.parsing.weights`).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from dag.errors import UserError
from dag.models.backbones.blocks import Bottleneck, init_convolutions

POOL_SIZES = (1, 2, 3, 6)


@dataclass(frozen=True)
class Backbone:
    """Sizes of a network.

    Attributes:
        stem: output channels of the first three convolutions.
        planes: planes of the first stage, which has four times as many channels; each further stage doubles them.
        blocks: number of bottlenecks per stage.
        context: output channels of the pyramid pooling.
        features: channels of the features of decoder, edge branch and fusion.
        low_level: channels to which the decoder reduces the features of the first stage.
    """

    stem: tuple[int, int, int]
    planes: int
    blocks: tuple[int, int, int, int]
    context: int
    features: int
    low_level: int


BACKBONES = {
    "narrow": Backbone((16, 16, 32), planes=16, blocks=(2, 2, 3, 2), context=96, features=32, low_level=16),
    "resnet50": Backbone((64, 64, 128), planes=64, blocks=(3, 4, 6, 3), context=512, features=256, low_level=48),
    "resnet101": Backbone((64, 64, 128), planes=64, blocks=(3, 4, 23, 3), context=512, features=256, low_level=48),
}


@dataclass
class ParsingOutput:
    """Logits at a quarter of the input's resolution.

    Attributes:
        parts: `[B, L, h, w]`, of the parsing branch.
        fused: `[B, L, h, w]`, of parsing and edge features: the final prediction.
        edges: `[B, 2, h, w]`, no edge and edge between parts.
    """

    parts: Tensor
    fused: Tensor
    edges: Tensor


class Ce2p(nn.Module):
    """The CE2P network.

    Args:
        labels: number of labels including the background, L.
        backbone: key of `BACKBONES`; "resnet101" is the published network.

    Raises:
        UserError: the backbone is unknown.
    """

    def __init__(self, labels: int, backbone: str = "narrow"):
        super().__init__()
        if backbone not in BACKBONES:
            raise UserError("unknown backbone", expected=f"one of {', '.join(BACKBONES)}", got=repr(backbone))
        sizes = BACKBONES[backbone]
        first, second, third = sizes.stem
        self.conv1, self.bn1 = _convolution(3, first, 3, stride=2), nn.BatchNorm2d(first)
        self.conv2, self.bn2 = _convolution(first, second, 3), nn.BatchNorm2d(second)
        self.conv3, self.bn3 = _convolution(second, third, 3), nn.BatchNorm2d(third)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = [4 * sizes.planes * 2**stage for stage in range(4)]
        self.layer1 = _stage(third, channels[0], sizes.blocks[0])
        self.layer2 = _stage(channels[0], channels[1], sizes.blocks[1], stride=2)
        self.layer3 = _stage(channels[1], channels[2], sizes.blocks[2], stride=2)
        self.layer4 = _stage(channels[2], channels[3], sizes.blocks[3], dilation=2)
        self.context_encoding = _Pyramid(channels[3], sizes.context)
        self.edge = _Edges(channels[:3], sizes.features)
        self.decoder = _Decoder(sizes.context, channels[0], sizes.low_level, sizes.features, labels)
        self.fushion = nn.Sequential(
            *_activated(4 * sizes.features, sizes.features), nn.Dropout2d(0.1), nn.Conv2d(sizes.features, labels, 1)
        )
        init_convolutions(self)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> ParsingOutput:
        """Logits of normalised crops."""
        x = torch.relu(self.bn1(self.conv1(images)))
        x = torch.relu(self.bn2(self.conv2(x)))
        x = self.maxpool(torch.relu(self.bn3(self.conv3(x))))
        low = self.layer1(x)
        middle = self.layer2(low)
        high = self.layer3(middle)
        context = self.context_encoding(self.layer4(high))
        parts, part_features = self.decoder(context, low)
        edges, edge_features = self.edge(low, middle, high)
        return ParsingOutput(parts, self.fushion(torch.cat([part_features, edge_features], 1)), edges)


class _Pyramid(nn.Module):
    """Pyramid pooling (Zhao et al., CVPR 2017): features with context pooled over 1, 2, 3 and 6 bins per side."""

    def __init__(self, channels: int, features: int):
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(size), *_activated(channels, features)) for size in POOL_SIZES
        )
        self.bottleneck = nn.Sequential(*_activated(channels + len(POOL_SIZES) * features, features, size=3))

    def forward(self, x: Tensor) -> Tensor:
        pooled = [_resize(stage(x), x) for stage in self.stages]
        return self.bottleneck(torch.cat([*pooled, x], 1))


class _Edges(nn.Module):
    """Edge logits from three stages, and the features that they are predicted from."""

    def __init__(self, channels: list[int], features: int):
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (nn.Sequential(*_activated(inputs, features)) for inputs in channels)
        self.conv4 = nn.Conv2d(features, 2, 3, padding=1)
        self.conv5 = nn.Conv2d(6, 2, 1)

    def forward(self, low: Tensor, middle: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        features = [self.conv1(low), self.conv2(middle), self.conv3(high)]
        edges = torch.cat([_resize(self.conv4(each), low) for each in features], 1)
        return self.conv5(edges), torch.cat([_resize(each, low) for each in features], 1)


class _Decoder(nn.Module):
    """Part logits and features from upsampled context and the features of the first stage."""

    def __init__(self, context: int, low: int, low_level: int, features: int, labels: int):
        super().__init__()
        self.conv1 = nn.Sequential(*_activated(context, features))
        self.conv2 = nn.Sequential(*_activated(low, low_level))
        self.conv3 = nn.Sequential(*_activated(features + low_level, features), *_activated(features, features))
        self.conv4 = nn.Conv2d(features, labels, 1)

    def forward(self, context: Tensor, low: Tensor) -> tuple[Tensor, Tensor]:
        features = self.conv3(torch.cat([_resize(self.conv1(context), low), self.conv2(low)], 1))
        return self.conv4(features), features


class ActivatedNorm(nn.BatchNorm2d):
    """Batch normalisation and leaky ReLU, as InPlaceABN (Rota Bulò et al., CVPR 2018)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(super().forward(input), 0.01)


def _activated(inputs: int, outputs: int, size: int = 1) -> list[nn.Module]:
    """Convolution, batch normalisation and leaky ReLU."""
    return [_convolution(inputs, outputs, size), ActivatedNorm(outputs)]


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=False)


def _stage(inputs: int, outputs: int, blocks: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    planes = outputs // Bottleneck.expansion
    remaining = (Bottleneck(outputs, planes, dilation=dilation) for _ in range(blocks - 1))
    return nn.Sequential(Bottleneck(inputs, planes, stride, dilation), *remaining)


def _resize(x: Tensor, like: Tensor) -> Tensor:
    """`x` at the size of `like`, bilinear, with aligned corners."""
    size = (like.shape[-2], like.shape[-1])
    return F.interpolate(x, size, mode="bilinear", align_corners=True)
