"""Simple Baselines, SBL (Xiao et al., ECCV 2018): a ResNet followed by three transposed convolutions.

Parameter names are those of the authors' pose_resnet (leoxiaobin/deep-high-resolution-net.pytorch), so that published
checkpoints load. Its final layer belongs to the head.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from dag.models.backbones.blocks import Bottleneck, init_convolutions


def resnet(blocks: tuple[int, int, int, int]) -> Callable[[], "PoseResNet"]:
    """A function that builds the `PoseResNet` with `blocks` bottlenecks per stage."""
    return lambda: PoseResNet(blocks)


class PoseResNet(nn.Module):
    """ResNet (stride 32) and three transposed convolutions, which upsample its features to stride 4.

    Args:
        blocks: bottlenecks per stage: (3, 4, 6, 3) for ResNet-50, (3, 4, 23, 3) for -101, (3, 8, 36, 3) for -152.
    """

    stride = 4
    multiple = 32
    channels = 256

    def __init__(self, blocks: tuple[int, int, int, int]):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _stage(64, 64, blocks[0], stride=1)
        self.layer2 = _stage(256, 128, blocks[1], stride=2)
        self.layer3 = _stage(512, 256, blocks[2], stride=2)
        self.layer4 = _stage(1024, 512, blocks[3], stride=2)
        self.deconv_layers = nn.Sequential(*_deconvolution(2048), *_deconvolution(256), *_deconvolution(256))
        init_convolutions(self)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 256 H/4 W/4"]:
        """Features of normalised RGB crops."""
        x = torch.relu(self.bn1(self.conv1(images)))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.deconv_layers(x)


def _stage(inputs: int, planes: int, blocks: int, stride: int) -> nn.Sequential:
    """A stage of `blocks` bottlenecks; the first one has the stride."""
    remaining = (Bottleneck(4 * planes, planes) for _ in range(blocks - 1))
    return nn.Sequential(Bottleneck(inputs, planes, stride), *remaining)


def _deconvolution(inputs: int) -> list[nn.Module]:
    """Transposed convolution that doubles the resolution, batch normalisation and ReLU."""
    deconvolution = nn.ConvTranspose2d(inputs, 256, 4, stride=2, padding=1, bias=False)
    nn.init.normal_(deconvolution.weight, std=0.001)
    return [deconvolution, nn.BatchNorm2d(256), nn.ReLU()]
