"""dvc.yaml against what the stage scripts import: DVC does not follow Python imports, so this test does."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.imports import ROOT, imported_files

STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
CODE = ("dag/", "pipelines/", "datasets/")
RUNS_A_STAGE = {"dag/errors.py", "dag/files.py", "dag/parallel.py", "dag/params.py", "dag/stage.py"}
"""How a stage runs: options, parameters (DVC tracks their values), errors, workers. They shape no output."""
REPORTS = ("dag/callbacks/", "dag/sheets/", "dag/report/")
"""What people watch: progress, curves, resumable state, contact sheets. Rewording it must rerun nothing."""


def _scripts() -> dict[str, tuple[Path, set[str]]]:
    """Script and code dependencies of each stage; a `foreach` stage once for each folder that has its script."""
    scripts = {}
    for name, stage in STAGES.items():
        body = stage.get("do", stage)
        script = next(word for word in body["cmd"].split() if word.endswith(".py"))
        keys = [p.parent.name for p in ROOT.glob(script.replace("${key}", "*"))] if "${key}" in script else [""]
        for key in keys:
            deps = {dep.replace("${key}", key) for dep in body["deps"] if dep.startswith(CODE)}
            scripts[f"{name}@{key}" if key else name] = (Path(script.replace("${key}", key)), deps)
    return scripts


SCRIPTS = _scripts()


def _covered(file: str, deps: set[str]) -> bool:
    return any(file == dep or file.startswith(f"{dep}/") for dep in deps)


@pytest.mark.parametrize("name", SCRIPTS)
def test_deps_are_what_the_script_imports(name: str) -> None:
    script, deps = SCRIPTS[name]
    imported = {str(path) for path in imported_files(script, ignore=REPORTS)} - RUNS_A_STAGE
    missing = sorted(file for file in imported if not _covered(file, deps))
    unused = sorted(dep for dep in deps if not any(_covered(file, {dep}) for file in imported))
    assert not missing, f"{name} imports files that are not in its deps: {missing}"
    assert not unused, f"{name} has deps that it does not import: {unused}"


def test_deps_exist_and_none_only_reports() -> None:
    for name, (_, deps) in SCRIPTS.items():
        for dep in deps:
            assert (ROOT / dep).exists(), f"{name}: {dep}"
            assert not f"{dep}/".startswith(REPORTS), f"{name} depends on {dep}, which shapes no output"


@pytest.mark.parametrize("stage", ["train", "predict"])
def test_metrics_and_plots_do_not_run_the_network_again(stage: str) -> None:
    """A new metric or a reworded plot changes `dag/evaluation`, of which only COCO's own metric is a dependency."""
    _, deps = SCRIPTS[stage]
    assert {dep for dep in deps if dep.startswith("dag/evaluation")} == {"dag/evaluation/coco"}


def test_script_stage_and_results_share_one_word() -> None:
    for name, stage in STAGES.items():
        body = stage.get("do", stage)
        assert f"{name}.py" in body["cmd"]
        for metric in body.get("metrics", []):
            assert next(iter(metric)).startswith(f"results/{name}/")


def test_imports_inside_functions_and_through_packages_are_followed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("def f():\n    from dag.cli.presets import use_preset\n    from dag.models import build_model\n")
    assert {Path("dag/params.py"), Path("dag/models/pose.py"), Path("dag/graph.py")} <= imported_files(script)
    assert Path("dag/models/export.py") not in imported_files(script)
