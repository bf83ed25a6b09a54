"""params.yaml and presets: invalid keys and values are one-line errors that list the valid ones."""

from pathlib import Path

import pytest

from dag.cli.presets import preset_names, use_preset
from dag.errors import UserError
from dag.params import load_params
from tests.imports import ROOT

PRESETS = ROOT / "presets"


def _changed(tmp_path: Path, old: str, new: str) -> Path:
    text = (PRESETS / "default.yaml").read_text()
    assert old in text
    path = tmp_path / "params.yaml"
    path.write_text(text.replace(old, new))
    return path


def test_params_yaml_is_the_default_preset() -> None:
    assert (ROOT / "params.yaml").read_text() == (PRESETS / "default.yaml").read_text()


def test_input_size_is_width_then_height() -> None:
    assert load_params(PRESETS / "default.yaml").data.input_wh == (96, 128)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (
            "invalid_annotations: stop",
            "bad_rows: stop",
            "unknown key 'bad_rows' in convert, known: invalid_annotations",
        ),
        ("\nseed: 1 ", "\nseeed: 1 ", "unknown key 'seeed' in the top level, known: seed, render"),
        ("max_persons: 4", "max_person: 4", "unknown key 'max_person' in render.synthetic, known: train, val"),
        ("min_size: 10", "min_siz: 10", "unknown key 'min_siz' in cache.mask_joints, known: p, min_count"),
        ("epochs: 21", "epochs: many", "train.epochs: Input should be a valid integer, got 'many'"),
        ("adam: true ", "adam: 1 ", "model.adam: Input should be a valid boolean, got 1"),
        ("input_width: 96", "input_width: 100", "data.input_width: Input should be a multiple of 32, got 100"),
        ("flip: true", "flip: [", "not yaml"),
    ],
)
def test_bad_params(tmp_path: Path, old: str, new: str, text: str) -> None:
    path = _changed(tmp_path, old, new)
    with pytest.raises(UserError) as caught:
        load_params(path)
    assert str(path) in str(caught.value)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_faults_at_once(tmp_path: Path) -> None:
    path = _changed(tmp_path, "epochs: 21", "epochs: 0\n  epoch: 3")
    with pytest.raises(UserError, match=r"train.epochs: .* unknown key 'epoch' in train"):
        load_params(path)


def test_missing_params(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file; `dag-pose params use default` writes one"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("name", preset_names(PRESETS))
def test_every_preset_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for variable in ("DAG_REAL_DATA", "COCO", "OCHUMAN", "CROWDPOSE"):
        monkeypatch.setenv(variable, "/somewhere")
    path = tmp_path / "params.yaml"
    use_preset(name, PRESETS, path)
    assert "$" not in path.read_text().split("\n\n", 1)[1]
    assert load_params(path).data.dataset in load_params(path).datasets


def test_preset_keeps_comments_and_returns_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAG_REAL_DATA", "/somewhere")
    path = tmp_path / "params.yaml"
    use_preset("default", PRESETS, path)
    assert path.read_text() == (PRESETS / "default.yaml").read_text()
    changes = use_preset("sample_coco", PRESETS, path)
    assert ("data.dataset", "synthetic", "coco") in changes
    assert ("datasets.coco.root", "-", "/somewhere/data/coco") in changes
    assert ("render.synthetic.seed", 1, "-") in changes
    assert "in feature pixels" in path.read_text()
    assert use_preset("sample_coco", PRESETS, path) == []


def test_baseline_and_dag_presets_differ_in_dag_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("COCO", "OCHUMAN"):
        monkeypatch.setenv(variable, "/somewhere")
    path = tmp_path / "params.yaml"
    use_preset("coco_w48_384x288_dag", PRESETS, path)
    assert "extends" not in path.read_text()
    assert load_params(path).train.epochs == 210
    changes = {key: after for key, _, after in use_preset("coco_w48_384x288", PRESETS, path)}
    assert changes == {"data.occlusion": 0.0, "model.adam": False, "model.graph": False}


def test_preset_that_extends_itself(tmp_path: Path) -> None:
    (tmp_path / "default.yaml").write_text((PRESETS / "default.yaml").read_text())
    (tmp_path / "one.yaml").write_text("# One.\nextends: two\n")
    (tmp_path / "two.yaml").write_text("# Two.\nextends: one\n")
    with pytest.raises(UserError, match=r"preset extends itself: got one > two > one"):
        use_preset("one", tmp_path, tmp_path / "params.yaml")


def test_unset_variable_leaves_params_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAG_REAL_DATA", raising=False)
    path = tmp_path / "params.yaml"
    path.write_text("unchanged")
    with pytest.raises(UserError, match=r"datasets.coco.root: environment variable is not set"):
        use_preset("sample_coco", PRESETS, path)
    assert path.read_text() == "unchanged"


def test_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(
        UserError, match=r"unknown preset: expected one of \['default', .*'sample_coco'.*\], got 'nope'"
    ):
        use_preset("nope", PRESETS)


def test_outside_the_project(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run dag-pose in the project's root"):
        use_preset("default", tmp_path / "presets")
