"""dvc.yaml against what the stage scripts really import: DVC does not follow Python imports, so this test does."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.imports import ROOT, imported_files

STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
CODE = ("dag/", "pipelines/", "datasets/")
# Reading parameters (DVC tracks their values), options, errors, whole-file writes and who works shape no output.
SHAPE_NOTHING = {
    "dag/__init__.py",
    "dag/backbones/__init__.py",
    "dag/data/__init__.py",
    "dag/data/parsing/__init__.py",
    "dag/training/__init__.py",
    "dag/params.py",
    "dag/stage.py",
    "dag/errors.py",
    "dag/files.py",
    "dag/parallel.py",
}


def _resolved() -> dict[str, dict]:
    """Stages by name; a `foreach` stage once for each data set folder that has its script."""
    resolved = {}
    for name, stage in STAGES.items():
        body = stage.get("do", stage)
        script = next(word for word in body["cmd"].split() if word.endswith(".py"))
        keys = [p.parent.name for p in ROOT.glob(script.replace("${key}", "*"))] if "${key}" in script else [None]
        for key in keys:
            fill = (lambda text, key=key: text.replace("${key}", key)) if key else (lambda text: text)
            deps = {fill(dep) for dep in body["deps"]}
            resolved[f"{name}@{key}" if key else name] = {"script": Path(fill(script)), "deps": deps}
    return resolved


@pytest.mark.parametrize("name", _resolved())
def test_deps_are_what_the_script_imports(name: str) -> None:
    stage = _resolved()[name]
    code = {dep.rstrip("/") for dep in stage["deps"] if dep.startswith(CODE)}
    imported = {str(path) for path in imported_files(stage["script"])} - SHAPE_NOTHING
    missing = {file for file in imported if not any(file == dep or file.startswith(f"{dep}/") for dep in code)}
    unused = {dep for dep in code if not any(file == dep or file.startswith(f"{dep}/") for file in imported)}
    assert not missing, f"{name} imports files that are not in its deps: {sorted(missing)}"
    assert not unused, f"{name} has deps that it does not import: {sorted(unused)}"


def test_script_stage_and_results_share_one_word() -> None:
    for name, stage in STAGES.items():
        body = stage.get("do", stage)
        assert f"{name}.py" in body["cmd"]
        for metric in body.get("metrics", []):
            assert next(iter(metric)).startswith(f"results/{name}/")


def test_import_walk_sees_imports_inside_functions(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("def f():\n    from dag.cli.presets import use_preset\n")
    assert Path("dag/params.py") in imported_files(script)
