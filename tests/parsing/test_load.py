"""Descriptions of parsers: every preset, every kind, and faulty files."""

import pickle
import shutil
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from dag.errors import UserError
from dag.masks import HumanParser, PartMap
from dag.parsing.load import Description, load_parser, read_description
from dag.skeleton import COCO17
from tests.imports import ROOT
from tests.onnx_files import INPUT, OUTPUT, write_description
from tests.standing import HEIGHT, WIDTH, image, outline, standing

PRESETS = sorted((ROOT / "presets/parsers").glob("*.yaml"))
BODYPIX = ROOT / "presets/parsers/bodypix.yaml"
NOT_DISTRIBUTED = ("schp_atr", "schp_lip", "schp_pascal")
"""Presets whose files users download themselves."""


@pytest.mark.parametrize("kind", get_args(get_args(Description)[0]), ids=lambda kind: kind.__name__)
def test_every_kind_has_a_preset(kind: type) -> None:
    assert any(isinstance(read_description(preset), kind) for preset in PRESETS)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.stem)
def test_every_preset_is_a_human_parser(preset: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAG_REAL_DATA", str(real_data))
    if preset.stem in NOT_DISTRIBUTED:
        assert read_description(preset)
        return
    parser = load_parser(preset, COCO17)
    assert isinstance(parser, HumanParser)
    assert len(set(parser.labels)) == len(parser.labels) > 0
    people = [standing(1, 10), standing(2, 70, masked=False), standing(3, 130)]
    photo = image(outline(10, 25), outline(70, 25), outline(130, 25))
    part_maps = parser.parse(photo, people, [2, 0])
    assert len(part_maps) == 2
    assert parser.parse(photo, people, []) == []
    for part_map in part_maps:
        assert isinstance(part_map, PartMap)
        height, width = part_map.parts.shape
        assert part_map.left >= 0 <= part_map.top
        assert part_map.left + width <= WIDTH
        assert part_map.top + height <= HEIGHT
        assert part_map.parts.max() <= len(parser.labels)
        assert part_map.ambiguous >= 0
    pickled = pickle.dumps(parser)
    assert len(pickled) < 20_000, "weights are pickled as a file name"
    for part_map, expected in zip(pickle.loads(pickled).parse(photo, people, [2, 0]), part_maps):
        assert np.array_equal(part_map.parts, expected.parts)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"output": None}, "output: Field required"),
        ({"output": {"parts": "parts"}}, "output.person: Field required"),
        ({"colour": "rgb"}, "colour: Extra inputs are not permitted"),
        ({"input": {**INPUT, "order": "grb"}}, "input.order: Input should be 'rgb' or 'bgr'"),
        ({"output": {**OUTPUT, "parts": "heatmaps"}}, "network has no such output: expected one of ['person'"),
        ({"labels": ["body"]}, "output parts does not match the description: expected 1 x 1 x height x width, got [1"),
        ({"sha256": "0" * 64}, "network with another hash: expected sha256 0000"),
        ({"file": "$NO_SUCH_FOLDER/a.onnx"}, "variable is not set: got $NO_SUCH_FOLDER/a.onnx; export NO_S"),
        ({"file": "/nowhere/a.onnx"}, "no such network: expected a file of weights, got /nowhere/a.onnx"),
    ],
)  # fmt: skip
def test_faulty_descriptions_are_one_line_errors(tmp_path: Path, network: Path, changes: Any, text: str) -> None:
    path = write_description(tmp_path, network, **changes)
    with pytest.raises(UserError) as error:
        load_parser(str(path), COCO17)
    assert text in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_or_broken_yaml(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such parser.*set pool.parser to a file of presets"):
        load_parser(str(tmp_path / "none.yaml"), COCO17)
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(UserError, match="not yaml"):
        load_parser(str(tmp_path / "bad.yaml"), COCO17)


def test_network_with_another_hash_is_refused(real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    name = "bodypix_mobilenet075_stride16.onnx"
    shutil.copy(real_data / "models" / name, tmp_path / "models" / name)
    with (tmp_path / "models" / name).open("ab") as file:
        file.write(b"\0")
    monkeypatch.setenv("DAG_REAL_DATA", str(tmp_path))
    with pytest.raises(UserError, match="network with another hash"):
        load_parser(str(BODYPIX), COCO17)
    monkeypatch.delenv("DAG_REAL_DATA")
    with pytest.raises(UserError, match="export DAG_REAL_DATA=FOLDER"):
        load_parser(str(BODYPIX), COCO17)
