"""HRNet: the location of its receptive fields."""

import torch

from dag.models.backbones.hrnet import HRNet


def test_receptive_fields_are_centred_on_multiples_of_the_stride() -> None:
    backbone = HRNet(width=4, stem=4, stem_blocks=1, blocks=1, modules=(1, 1, 1)).double()
    images = torch.randn(1, 3, 32, 32, dtype=torch.double, requires_grad=True)
    backbone.conv2(backbone.conv1(images))[0, :, 3, 5].sum().backward()
    assert images.grad is not None
    rows, columns = images.grad.abs().sum((0, 1)).nonzero().T
    assert (rows.min() + rows.max()) / 2 == 4 * 3
    assert (columns.min() + columns.max()) / 2 == 4 * 5
