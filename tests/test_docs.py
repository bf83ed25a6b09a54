"""The code in the documentation runs."""

import re

import torch

from tests.imports import ROOT


def test_dag_on_a_foreign_backbone():
    code = re.findall(r"```python\n(.*?)```", (ROOT / "docs/model.md").read_text(), re.DOTALL)
    assert len(code) == 1
    names: dict = {}
    exec(code[0], names)
    model = names["model"].train()
    output = model(torch.rand(2, 3, 64, 48))
    assert output.heatmaps.shape == output.multi_person_heatmaps.shape == (2, 17, 16, 12)
    assert output.refined_xy.shape == (2, 17, 2)
    (output.heatmaps.sum() + output.multi_person_heatmaps.sum() + output.refined_xy.sum()).backward()
    assert all(parameter.grad is not None for parameter in model.backbone.parameters())
