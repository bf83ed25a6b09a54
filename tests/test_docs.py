"""The code and the commands in the documentation."""

import pkgutil
import re
from pathlib import Path

import pytest
import torch

from tests.imports import ROOT

FOLDERS = "dag|docs|tests|datasets|pipelines|benchmarks|presets|experiments"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def readme_commands() -> list[str]:
    """Commands in the console blocks of the README, without comments."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    lines = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [re.sub(r"\s+#.*", "", line) for line in lines]


def test_the_readme_has_commands() -> None:
    assert {"make repro", "make test", "dag-pose app"} <= set(readme_commands())


def test_python_of_the_readme_runs() -> None:
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names: dict = {}
    exec(code, names)
    model = names["build_model"]("hrnet_tiny", adam=True, graph=True).eval()
    assert model(torch.rand(1, 3, 128, 96)).refined_xy.shape == (1, 17, 2)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_exist(page: Path) -> None:
    text = page.read_text()
    links = [page.parent / link for link in re.findall(r"\]\(([^)#]+)", text) if not link.startswith("http")]
    paths = [ROOT / path for path in re.findall(rf"`((?:{FOLDERS})/[\w/.-]+)`", text)]
    assert not [str(path) for path in (*links, *paths) if not path.exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_modules_and_names_exist(page: Path) -> None:
    for name in re.findall(r"`(dag(?:\.\w+)+)`", page.read_text()):
        assert pkgutil.resolve_name(name) is not None, name


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
