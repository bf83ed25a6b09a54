"""Every command of `dag-pose`: its help, its options, and what the quick ones print."""

import inspect
import json
import pkgutil
from pathlib import Path
from unittest.mock import create_autospec

import pytest
import torch
import typer.main
from typer.testing import CliRunner, Result

from dag.cli.main import dag_pose
from dag.errors import UserError
from dag.prediction import PREDICTIONS_FILE, write_prediction_folder
from dag.skeleton import COCO17
from tests.imports import ROOT

OPTIONS = {
    "params list": set(),
    "params use": set(),
    "params check": set(),
    "weights inspect": set(),
    "fetch": {"--to", "--accept"},
    "occlusion-sheet": {"--cache", "--pool", "--persons", "--seed"},
    "export": {"--model", "--out"},
    "evaluate": {"--protocol", "--all", "--json"},
    "submission": {"--protocol", "--output", "--to"},
    "summary": set(),
    "report": {"--protocol", "--output", "--out", "--images", "--study", "--metric"},
    "queue": set(),
    "plots-page": set(),
    "app": {"--protocol", "--port", "--database-port", "--compare", "--output"},
    "review": {"--reviewer", "--split", "--persons", "--port", "--database-port", "--collect"},
}
"""Options of each command, as documented."""


def dag_pose_result(*arguments: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(dag_pose, arguments, env={"COLUMNS": "200", "TERM": "dumb"})


def _commands(group: typer.main.TyperGroup, prefix: str = "") -> dict[str, typer.main.TyperCommand]:
    found = {}
    for name, command in group.commands.items():
        found |= _commands(command, f"{name} ") if hasattr(command, "commands") else {f"{prefix}{name}": command}
    return found


COMMANDS = _commands(typer.main.get_command(dag_pose))


def test_commands_and_options_are_the_documented_ones() -> None:
    options = {
        name: {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        for name, command in COMMANDS.items()
    }
    assert options == OPTIONS


@pytest.mark.parametrize("name", OPTIONS)
def test_help_describes_the_command_and_its_options(name: str) -> None:
    result = dag_pose_result(*name.split(), "--help")
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    assert inspect.getdoc(COMMANDS[name].callback).split("\n")[0].replace("`", "")[:40] in text.replace("`", "")
    for option in OPTIONS[name]:
        assert option in text
    for parameter in COMMANDS[name].params:
        assert parameter.help, f"{name}: {parameter.name} has no help"


def test_params_list_prints_all_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names = [line for line in dag_pose_result("params", "list").output.splitlines() if not line.startswith(" ")]
    assert names[0] == "default"
    assert set(names) == {path.stem for path in (ROOT / "presets").glob("*.yaml")}


def test_params_use_and_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "presets").symlink_to(ROOT / "presets")
    monkeypatch.chdir(tmp_path)
    assert "params.yaml is now the preset default" in dag_pose_result("params", "use", "default").output
    assert "train.epochs: 21 -> 2" in dag_pose_result("params", "use", "smoke").output
    assert dag_pose_result("params", "check").output == "params.yaml: valid\n"
    Path("params.yaml").write_text("seed: one")
    assert isinstance(dag_pose_result("params", "check").exception, UserError)


def test_evaluate_prints_metrics_as_json(tmp_path: Path) -> None:
    keypoints = [float(value) for joint in range(17) for value in (10 + joint, 20 + joint, 2)]
    person = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [5, 5, 40, 60], "area": 1200.0}
    category = {"id": 1, "name": "person", "keypoints": list(COCO17.joints)}
    gt = {
        "images": [{"id": 1, "width": 64, "height": 80, "file_name": "1.jpg"}],
        "annotations": [{**person, "num_keypoints": 17, "keypoints": keypoints}],
        "categories": [category],
    }
    results = [{"image_id": 1, "category_id": 1, "keypoints": keypoints, "score": 0.9}]
    for name, content in (("gt.json", gt), ("results.json", results)):
        (tmp_path / name).write_text(json.dumps(content))
    result = dag_pose_result("evaluate", str(tmp_path / "gt.json"), str(tmp_path / "results.json"), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["AP"] == pytest.approx(1.0)


def test_weights_inspect_describes_the_file(tmp_path: Path) -> None:
    torch.save({"state_dict": {"head.weight": torch.zeros(3)}}, tmp_path / "weights.pth")
    result = dag_pose_result("weights", "inspect", str(tmp_path / "weights.pth"))
    assert result.exit_code == 0, result.output
    assert "3 parameters" in result.output


def test_submission_writes_a_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy_predictions: list) -> None:
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    monkeypatch.chdir(tmp_path)
    write_prediction_folder(tmp_path / "predictions/synthetic_val", toy_predictions, COCO17)
    assert (tmp_path / "predictions/synthetic_val" / PREDICTIONS_FILE).exists()
    result = dag_pose_result("submission", "method", "--protocol", "synthetic_val")
    assert result.exit_code == 0, result.output
    assert [path.suffix for path in tmp_path.glob("*method*")] == [".zip"]


def test_summary_prints_the_metrics_of_every_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    monkeypatch.chdir(tmp_path)
    result = dag_pose_result("summary")
    assert isinstance(result.exception, UserError)
    assert "no metrics" in str(result.exception)
    folder = tmp_path / "results/evaluate/synthetic_val"
    folder.mkdir(parents=True)
    metrics = {"instances": 450, "AP": 0.428, "AP50": 0.816, "AP75": 0.407, "AR": 0.478, "AP_most_occluded": 0.245}
    (folder / "all_metrics.json").write_text(json.dumps({"graph": metrics}))
    text = dag_pose_result("summary").output
    assert "synthetic_val" in text
    assert all(value in text for value in ("450", "0.428", "0.816", "0.407", "0.478", "0.245"))


@pytest.mark.parametrize(
    ("function", "arguments", "passed"),
    [
        ("dag.convert.download.fetch", ("fetch", "coco", "--accept"), {"accept": True}),
        ("dag.sheets.occlusion.write_occlusion_sheet", ("occlusion-sheet", "sheet.jpg", "--seed", "2"), {"seed": 2}),
        ("dag.models.export.export_onnx", ("export", "--out", "model.onnx"), {}),
        ("dag.report.write_report", ("report", "main", "--images", "3"), {"protocol": None}),
        ("dag.report.studies.queue_study", ("queue", "experiments/ablation.yaml"), {}),
        ("dag.report.plots_page.write_plots_page", ("plots-page",), {}),
        ("dag.review.app.serve", ("app", "--port", "5200"), {"port": 5200, "split": "val"}),
        ("dag.review.app.serve_experiments", ("app", "--compare", "main", "no-adam"), {"port": 5151}),
        ("dag.review.app.serve_review", ("review", "--reviewer", "me"), {"reviewer": "me", "dataset": "synthetic"}),
        ("dag.review.journal.collect", ("review", "--collect"), {}),
    ],
)
def test_commands_call_the_library_with_its_parameters(
    monkeypatch: pytest.MonkeyPatch, function: str, arguments: tuple[str, ...], passed: dict
) -> None:
    returned = {"fetch": [], "export_onnx": {}, "queue_study": ([], []), "write_report": Path("report.html")}
    called = create_autospec(pkgutil.resolve_name(function), return_value=returned.get(function.rpartition(".")[2]))
    monkeypatch.setattr(function, called)
    monkeypatch.setattr("dag.review.journal.describe", lambda *_: [])
    monkeypatch.chdir(ROOT)
    result = dag_pose_result(*arguments)
    assert result.exit_code == 0, result.output or result.exception
    called.assert_called_once()
    assert passed.items() <= called.call_args.kwargs.items()
