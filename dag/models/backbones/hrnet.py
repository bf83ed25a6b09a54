"""HRNet (Sun et al., CVPR 2019; Wang et al., TPAMI 2020): parallel branches with repeated multi-scale fusion.

Parameter names are those of the authors' pose_hrnet (leoxiaobin/deep-high-resolution-net.pytorch), so that published
checkpoints load. Its final layer belongs to the head.
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
    """A narrow, shallow HRNet that trains on two CPU cores."""
    return HRNet(width=16, stem=32, stem_blocks=1, blocks=1, modules=(1, 1, 1))


class HRNet(nn.Module):
    """HRNet without its final layer; returns the features of the branch of highest resolution.

    Args:
        width: channels of that branch; each further branch has twice the channels at half the resolution.
        stem: channels of the first two convolutions; the first stage has four times as many.
        stem_blocks: number of bottlenecks of the first stage.
        blocks: number of residual blocks per branch in each module.
        modules: number of modules of stages 2, 3 and 4, which have 2, 3 and 4 branches.

    The receptive field of feature pixel (x, y) is centred on input pixel (4 x, 4 y): the stride of 4 comes from two
    3 x 3 convolutions of stride 2 with padding 1.
    """

    stride = 4
    multiple = 32  # the stride of the coarsest branch

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
        """Features of normalised RGB crops."""
        x = torch.relu(self.bn1(self.conv1(images)))
        x = torch.relu(self.bn2(self.conv2(x)))
        x = self.layer1(x)
        branches = self.stage2([path(x) for path in self.transition1])
        branches = self.stage3(_add_branch(self.transition2, branches))
        return self.stage4(_add_branch(self.transition3, branches))[0]


class HighResolutionModule(nn.Module):
    """Residual blocks per branch, followed by fusion: each output is the sum of all branches resampled to its size.

    Args:
        widths: channels per branch, finest first.
        blocks: number of residual blocks per branch.
        outputs: number of output branches, finest first.
    """

    def __init__(self, widths: list[int], blocks: int, outputs: int):
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(BasicBlock(width) for _ in range(blocks))) for width in widths)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_resample(widths, source, target) for source in range(len(widths)))
            for target in range(outputs)
        )

    def forward(self, inputs: list[Tensor]) -> list[Tensor]:
        """Fused branches; one `[B, width, h, w]` per input and per output branch."""
        inputs = [branch(x) for branch, x in zip(self.branches, inputs)]
        return [
            torch.relu(_sum_left_to_right([path(x) for path, x in zip(row, inputs)]))  # type: ignore[arg-type]
            for row in self.fuse_layers
        ]


def _sum_left_to_right(terms: list[Tensor]) -> Tensor:
    """Sum in the order of the official implementation, so that results agree to the last bit."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _stage(widths: list[int], modules: int, blocks: int, outputs: int | None = None) -> nn.Sequential:
    """A stage of `modules` modules; the last one returns the first `outputs` branches, by default all."""
    counts = [len(widths)] * (modules - 1) + [outputs or len(widths)]
    return nn.Sequential(*(HighResolutionModule(widths, blocks, count) for count in counts))


def _resample(widths: list[int], source: int, target: int) -> nn.Module:
    """Layers from the resolution and channels of branch `source` to those of branch `target`."""
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
    """Layers to the branches of the next stage; the new branch is computed from the coarsest existing one."""
    paths = nn.ModuleList()
    for branch, width in enumerate(after):
        if branch >= len(before):
            paths.append(nn.Sequential(conv_bn(before[-1], width, 3, stride=2).append(nn.ReLU())))
        elif before[branch] != width:
            paths.append(conv_bn(before[branch], width, 3).append(nn.ReLU()))
        else:
            paths.append(nn.Identity())
    return paths


def _add_branch(transition: nn.ModuleList, branches: list[Tensor]) -> list[Tensor]:
    """Inputs of the next stage, which has one more branch."""
    return [path(x) for path, x in zip(transition, [*branches, branches[-1]])]
