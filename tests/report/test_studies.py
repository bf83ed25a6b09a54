"""Studies: their runs, their results, and errors."""

from pathlib import Path

import pytest

from dag.errors import UserError
from dag.report.studies import Study, check_runs, read_study, runs_of
from dag.report.study_page import spread, study_lines, table_rows, write_study
from tests.imports import ROOT

COMPLETED = {
    ("base", 1): {"heatmap": {"AP": 0.2}, "mean_pose": {"AP": 0.0}},
    ("base", 2): {"heatmap": {"AP": 0.3}},
    ("all", 1): {"heatmap": {"AP": 0.25}, "graph": {"AP": 0.4}},
    ("all", 2): {"heatmap": {"AP": 0.3}, "graph": {"AP": 0.4}},
    ("all", 3): {"heatmap": {"AP": 0.35}, "graph": {"AP": None}},
}


def study(**changes: object) -> Study:
    return Study(**{"seeds": [1, 2, 3], "settings": {}, "rows": {"base": {}, "all": {"model.adam": True}}, **changes})


def test_the_ablation_of_the_paper_fits_every_preset() -> None:
    read = read_study(ROOT / "experiments/ablation.yaml")
    runs = runs_of(read, "ablation")
    check_runs(runs, ROOT / "params.yaml")
    assert [run.experiment for run in runs[:5]] == [
        f"ablation-{row}-1" for row in ("base", "data", "adam", "graph", "all")
    ]
    assert len({run.experiment for run in runs}) == 5 * len(read.seeds)
    switches = ("data.occlusion", "model.adam", "model.graph")
    assert [sum(run.changes[name] for name in switches) for run in runs[:5]] == [0, 0.5, 1, 1, 2.5]


def test_differences_are_paired_by_seed() -> None:
    lines = {(line.row, line.output): line for line in study_lines(study(), COMPLETED, "AP")}
    assert set(lines) == {("base", "heatmap"), ("all", "heatmap"), ("all", "graph")}
    assert lines["all", "heatmap"].values == {1: 0.25, 2: 0.3, 3: 0.35}
    assert lines["all", "heatmap"].differences == pytest.approx({1: 0.05, 2: 0.0})
    assert lines["all", "graph"].differences == pytest.approx({1: 0.2, 2: 0.1})


def test_table() -> None:
    header, *rows = table_rows(study(), COMPLETED, ["AP"])
    assert header == ["row", "output", "seeds", "AP", "minus base"]
    assert rows == [
        ["base", "heatmap", "2", "25.0 ± 7.1", ""],
        ["all", "heatmap", "3", "30.0 ± 5.0", "+2.5 ± 3.5"],
        ["all", "graph", "2", "40.0 ± 0.0", "+15.0 ± 7.1"],
    ]
    assert spread({}) == "-"


def test_page_lists_the_missing_runs(tmp_path: Path) -> None:
    write_study(tmp_path / "page.html", "mine", study(), COMPLETED, ["mine-base-3"], ["AP"])
    page = (tmp_path / "page.html").read_text()
    assert "Not completed: mine-base-3." in page
    assert "<td>+15.0 ± 7.1</td>" in page
    assert page.count("<svg") == 1
    assert "http://" not in page.replace("http://www.w3.org", "")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("seeds: []\nsettings: {}\nrows: {a: {}}", "seeds: List should have at least 1 item"),
        ("seeds: [1, 1]\nsettings: {}\nrows: {a: {}}", "duplicate seed"),
        ("seeds: [1]\nsettings: {}\nrows: {a b: {}}", "rows"),
        ("seeds: [1]\nsettings: {}\nrows: {a: {}}\nmore: 1", "more: Extra inputs are not permitted"),
        ("seeds: [1", "not yaml"),
        ("[]", "should be a valid dictionary"),
    ],
)
def test_invalid_study_files(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(UserError, match=r"mine\.yaml: ") as caught:
        read_study(tmp_path / "mine.yaml")
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"model.adams": True}, "mine-all-1: unknown key of params.yaml: got model.adams"),
        ({"modell.adam": True}, "mine-all-1: unknown key of params.yaml: got modell.adam"),
        ({"seed.low": 1}, "mine-all-1: unknown key of params.yaml: got seed.low"),
        ({"train.epochs": 0}, "params.yaml of mine-all-1: train.epochs: "),
    ],
)
def test_invalid_changes_of_params(changes: dict[str, object], fault: str) -> None:
    runs = runs_of(study(rows={"base": {}, "all": changes}), "mine")
    with pytest.raises(UserError) as caught:
        check_runs(runs, ROOT / "params.yaml")
    assert fault in str(caught.value)
