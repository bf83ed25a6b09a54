"""HRNet (Sun et al., CVPR 2019; Wang et al., TPAMI 2020): parallel branches that exchange features at every module.

Parameter names are those of the authors' pose_hrnet (leoxiaobin/deep-high-resolution-net.pytorch), without its last
layer, which is the head's: published files load as they are.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dag.models.backbones.blocks import BasicBlock, Bottleneck, conv_bn, init_convolutions


def hrnet_w32() -> "HRNet":
    """HRNet-W32: 28.5 M parameters."""
    return HRNet(width=32, stem=64, stem_blocks=4, blocks=4, modules=(1, 4, 3))


def hrnet_w48() -> "HRNet":
    """HRNet-W48: 63.6 M parameters."""
    return HRNet(width=48, stem=64, stem_blocks=4, blocks=4, modules=(1, 4, 3))


def hrnet_tiny() -> "HRNet":
    """The same network, narrow and shallow: trains on two CPU cores."""
    return HRNet(width=16, stem=32, stem_blocks=1, blocks=1, modules=(1, 1, 1))


class HRNet(nn.Module):
    """Features of the branch of highest resolution.

    Args:
        width: channels of that branch; every next one has twice as many at half the resolution.
        stem: channels of the first two convolutions; the first stage has four times as many.
        stem_blocks: bottlenecks of the first stage.
        blocks: residual blocks a branch, in every module.
        modules: modules of stages 2, 3 and 4, which have 2, 3 and 4 branches.

    Feature pixel (x, y) looks at input pixel (4 x, 4 y): its four-fold stride comes from two 3 x 3 convolutions with
    padding 1, whose centres fall on every second pixel from the first.
    """

    stride = 4
    multiple = 32  # the coarsest branch halves the input five times

    def __init__(self, *, width: int, stem: int, stem_blocks: int, blocks: int, modules: tuple[int, int, int]):
        super().__init__()
        self.channels = width
        widths = [width * 2**branch for branch in range(4)]
        self.conv1 = nn.Conv2d(3, stem, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.conv2 = nn.Conv2d(stem, stem, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(stem)
        self.layer1 = nn.Sequential(
            *(Bottleneck(stem if block == 0 else 4 * stem, stem) for block in range(stem_blocks))
        )
        self.transition1 = _transition([4 * stem], widths[:2])
        self.stage2 = _stage(widths[:2], modules[0], blocks)
        self.transition2 = _transition(widths[:2], widths[:3])
        self.stage3 = _stage(widths[:3], modules[1], blocks)
        self.transition3 = _transition(widths[:3], widths)
        self.stage4 = _stage(widths, modules[2], blocks, outputs=1)
        init_convolutions(self)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C H/4 W/4"]:
        """Normalised RGB crops to features."""
        x = torch.relu(self.bn1(self.conv1(images)))
        x = torch.relu(self.bn2(self.conv2(x)))
        x = self.layer1(x)
        branches = self.stage2([path(x) for path in self.transition1])
        branches = self.stage3(_advance(self.transition2, branches))
        return self.stage4(_advance(self.transition3, branches))[0]


class HighResolutionModule(nn.Module):
    """Residual blocks on every branch, then each output is the sum of all branches brought to its size.

    Args:
        widths: channels a branch, finest first.
        blocks: residual blocks a branch.
        outputs: how many of the finest branches are put out.
    """

    def __init__(self, widths: list[int], blocks: int, outputs: int):
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(BasicBlock(width) for _ in range(blocks))) for width in widths)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_resample(widths, source, target) for source in range(len(widths)))
            for target in range(outputs)
        )

    def forward(self, inputs: list[Tensor]) -> list[Tensor]:
        """One `[B, width, h, w]` a branch in, one an output out."""
        inputs = [branch(x) for branch, x in zip(self.branches, inputs)]
        return [
            torch.relu(sum_in_order([path(x) for path, x in zip(row, inputs)]))  # type: ignore[arg-type]
            for row in self.fuse_layers
        ]


def sum_in_order(terms: list[Tensor]) -> Tensor:
    """Left to right, as the authors add: the order decides the last bits."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _stage(widths: list[int], modules: int, blocks: int, outputs: int | None = None) -> nn.Sequential:
    """`modules` modules; the last one puts out the first `outputs` branches, or all."""
    kept = [len(widths)] * (modules - 1) + [outputs or len(widths)]
    return nn.Sequential(*(HighResolutionModule(widths, blocks, count) for count in kept))


def _resample(widths: list[int], source: int, target: int) -> nn.Module:
    """From the size and width of branch `source` to those of branch `target`."""
    if source == target:
        return nn.Identity()
    if source > target:
        upsample = nn.Upsample(scale_factor=2 ** (source - target), mode="nearest")
        return nn.Sequential(*conv_bn(widths[source], widths[target], 1), upsample)
    halvings = [
        conv_bn(widths[source], widths[source], 3, stride=2).append(nn.ReLU()) for _ in range(target - source - 1)
    ]
    return nn.Sequential(*halvings, conv_bn(widths[source], widths[target], 3, stride=2))


def _transition(before: list[int], after: list[int]) -> nn.ModuleList:
    """Paths to the branches of the next stage; the new one starts from the coarsest before it."""
    paths = nn.ModuleList()
    for branch, width in enumerate(after):
        if branch >= len(before):
            paths.append(nn.Sequential(conv_bn(before[-1], width, 3, stride=2).append(nn.ReLU())))
        elif before[branch] != width:
            paths.append(conv_bn(before[branch], width, 3).append(nn.ReLU()))
        else:
            paths.append(nn.Identity())
    return paths


def _advance(transition: nn.ModuleList, branches: list[Tensor]) -> list[Tensor]:
    return [path(x) for path, x in zip(transition, [*branches, branches[-1]])]
