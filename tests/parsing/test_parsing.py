"""Parsers: masks, any ONNX network by its yaml, and whose pixels are whose."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from ruamel.yaml import YAML

from dag.convert.coco import read_coco
from dag.errors import UserError
from dag.image import read_image
from dag.masks import decode_mask
from dag.parsing.description import InputRule
from dag.parsing.load import load_parser
from dag.parsing.mask_parser import MaskParser
from dag.parsing.network_parser import NetworkParser, input_size, interpolation, normalise, padded_window
from dag.parsing.separation import separate, with_joints
from dag.skeleton import COCO17
from tests.imports import ROOT
from tests.onnx_files import write_network
from tests.standing import HEIGHT, WIDTH, image, outline, standing

BODYPIX = ROOT / "presets/parsers/bodypix.yaml"
INPUT = {
    "long_side": 257, "multiple": 4, "plus": 1, "square": False, "order": "rgb", "mean": [127.5] * 3, "std": [127.5] * 3
}  # fmt: skip
OUTPUT = {"parts": "parts", "person": "person", "threshold": 0.6, "samples": "corners"}
CHANNELS = {"person": [[10, 0, 0]], "parts": [[0, 1, 0], [0, -1, 0]]}


def describe(folder: Path, network: Path, **changes) -> Path:
    """A parser's yaml beside its network; None takes a key out."""
    content = {
        "kind": "onnx", "file": str(network), "sha256": hashlib.sha256(network.read_bytes()).hexdigest(),
        "input": INPUT, "output": OUTPUT, "labels": ["upper", "lower"], **changes,
    }  # fmt: skip
    path = folder / "parser.yaml"
    with path.open("w") as file:
        YAML(typ="safe", pure=True).dump({key: value for key, value in content.items() if value is not None}, file)
    return path


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Instances are red; their upper part is green as well."""
    return write_network(tmp_path / "tiny.onnx", CHANNELS)


@pytest.fixture
def parser(tmp_path: Path, network: Path) -> NetworkParser:
    return load_parser(describe(tmp_path, network), COCO17)


def on_photograph(parsed) -> np.ndarray:
    full = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    height, width = parsed.parts.shape
    full[parsed.top : parsed.top + height, parsed.left : parsed.left + width] = parsed.parts
    return full


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


def test_masks_give_each_pixel_that_is_one_persons_alone():
    people = [standing(1, 20), standing(2, 60), standing(3, 130, masked=False)]
    masks = [outline(20, 25), outline(60, 25)]
    image = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    first, second, third = MaskParser().parse(image, people, [0, 1, 2])
    assert (on_photograph(first) == (masks[0] & ~masks[1])).all()
    assert (on_photograph(second) == (masks[1] & ~masks[0])).all()
    assert first.ambiguous == (masks[0] & masks[1]).sum() / masks[0].sum() > 0
    assert not third.parts.any()


def test_network_and_yaml_give_the_outline_and_its_parts(parser):
    person = standing(1, 60)
    [parsed] = parser.parse(image(outline(60, 25)), [person], [0])
    found = on_photograph(parsed)
    assert iou(found > 0, outline(60, 25)) > 0.95
    rows = np.arange(HEIGHT)[:, None]
    assert set(np.unique(found[(found > 0) & (rows < 123)])) == {1}
    assert set(np.unique(found[(found > 0) & (rows > 126)])) == {2}
    assert parsed.ambiguous < 0.02


@pytest.mark.parametrize("long_side", [57, 129, 301])
def test_lit_pixel_answers_where_it_is(tmp_path, long_side):
    path = describe(
        tmp_path, write_network(tmp_path / "one.onnx", CHANNELS, stride=1), input={**INPUT, "long_side": long_side}
    )
    image = np.zeros((90, 80, 3), dtype=np.uint8)
    cv2.circle(image, (37, 41), 4, (255, 255, 255), -1)
    left, top, width, height = 11, 13, 60, 70
    person, _ = load_parser(path, COCO17).scores(image, [(left, top, width, height)])[0]
    rows, columns = np.nonzero(person > 0)
    assert person.shape == (height, width)
    np.testing.assert_allclose([columns.mean() + left, rows.mean() + top], [37, 41], atol=0.6)


def test_background_channel_in_place_of_a_person_output(tmp_path):
    path = write_network(tmp_path / "b.onnx", {"parts": [[-1, 0, 0], [1, 1, 0], [1, -1, 0]]}, stride=1)
    parser = load_parser(describe(tmp_path, path, output={**OUTPUT, "person": None, "samples": "centers"}), COCO17)
    [parsed] = parser.parse(image(outline(60, 25)), [standing(1, 60)], [0])
    assert iou(on_photograph(parsed) > 0, outline(60, 25)) > 0.95
    assert set(np.unique(parsed.parts)) == {0, 1, 2}


def test_interpolation_reproduces_a_ramp():
    corners = interpolation(33, 2.0, 65, 5, "corners") @ np.arange(0, 65, 16.0)
    np.testing.assert_allclose(corners, np.arange(33) * 2)
    centers = interpolation(64, 1.0, 64, 4, "centers") @ (np.arange(4) * 16 + 7.5)
    np.testing.assert_allclose(centers[8:56], np.arange(8, 56))
    assert (centers[:7] == 7.5).all()


def test_input_sizes_follow_the_rule():
    rule = InputRule.model_validate({**INPUT, "long_side": 353, "multiple": 16})
    (width, height), scale = input_size(rule, 45, 100)
    assert (width, height, scale) == (161, 353, 352 / 99)
    assert input_size(rule, 1, 1)[0] == (17, 17)
    square = InputRule.model_validate({**INPUT, "long_side": 96, "square": True})
    assert input_size(square, 45, 100)[0] == (96, 96)


def test_colour_order_and_normalisation():
    image = np.array([[[0, 10, 255]]], dtype=np.uint8)
    rule = {**INPUT, "mean": [1.0, 2.0, 3.0], "std": [2.0, 4.0, 5.0]}
    rgb = normalise(image, InputRule.model_validate(rule))
    bgr = normalise(image, InputRule.model_validate({**rule, "order": "bgr"}))
    np.testing.assert_allclose(rgb.ravel(), [-0.5, 2.0, 50.4])
    np.testing.assert_allclose(bgr.ravel(), [127.0, 2.0, -0.6])


def test_window_stays_on_the_photograph():
    person = replace(standing(1, 60), bbox_xywh=np.array([2.5, 0, 60, 100.0]))
    assert padded_window(person.bbox_xywh, WIDTH, HEIGHT) == (0, 0, 78, 116)


def test_neighbours_mask_is_taken_away(parser):
    own, other = outline(50, 25), outline(98, 30)
    people = [standing(1, 50), standing(2, 98, 30)]
    [parsed] = parser.parse(image(own, other), people, [0])
    found = on_photograph(parsed) > 0
    assert not (found & other & ~own).any()
    assert iou(found, own) > 0.9
    assert parsed.ambiguous < 0.1


def test_maskless_neighbour_is_told_by_its_limbs():
    own, other = outline(40, 25), outline(90, 25)
    people = [standing(1, 40), standing(2, 90, masked=False)]
    mask, ambiguous = separate(own | other, (0, 0), people[0], people[1:], COCO17)
    assert iou(mask, own) > 0.9
    assert 0 < ambiguous < 0.2
    far, nothing = separate(outline(20, 25) | outline(120, 25), (0, 0), standing(1, 20), [standing(2, 120)], COCO17)
    assert (far == outline(20, 25)).all()
    assert nothing == 0


def test_what_cannot_be_told_apart_is_contested():
    own, other = outline(50, 25), outline(62, 28)
    _, by_limbs = separate(own | other, (0, 0), standing(1, 50), [standing(2, 62, 28, masked=False)], COCO17)
    boxed = standing(2, 62, 28, masked=False, visibility=dict.fromkeys(range(17), 0))
    _, by_box = separate(own | other, (0, 0), standing(1, 50), [boxed], COCO17)
    _, nobody_annotated = separate(own | outline(85, 25), (0, 0), standing(1, 50), [], COCO17)
    assert min(by_limbs, by_box, nobody_annotated) > 0.1


def test_only_pieces_with_own_joints_stay():
    mask = outline(20, 25) | outline(130, 25)
    assert (with_joints(mask, standing(1, 20), (0, 0)) == outline(20, 25)).all()
    window = mask[10:200, 5:190]
    assert (with_joints(window, standing(1, 20), (5, 10)) == outline(20, 25)[10:200, 5:190]).all()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"output": None}, "output: Field required"),
        ({"output": {"parts": "parts"}}, "output.person: Field required"),
        ({"colour": "rgb"}, "colour: Extra inputs are not permitted"),
        ({"input": {**INPUT, "order": "grb"}}, "input.order: Input should be 'rgb' or 'bgr'"),
        ({"output": {**OUTPUT, "parts": "heatmaps"}}, "network has no such output: expected one of ['person'"),
        ({"labels": ["body"]}, "output parts does not fit the description: expected 1 x 1 x height x width, got [1, 2"),
        ({"sha256": "0" * 64}, "another network: expected sha256 0000"),
        ({"file": "$NO_SUCH_FOLDER/a.onnx"}, "variable is not set: got $NO_SUCH_FOLDER/a.onnx; export NO_S"),
        ({"file": "/nowhere/a.onnx"}, "no such network: expected a file of weights, got /nowhere/a.onnx"),
    ],
)  # fmt: skip
def test_faulty_descriptions_are_one_line_errors(tmp_path, network, changes, text):
    path = describe(tmp_path, network, **changes)
    with pytest.raises(UserError) as error:
        load_parser(str(path), COCO17)
    assert text in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("shape", [(1, 1, "h", "w"), (1, 3, 96, 96), (3, "h", "w")])
def test_network_whose_input_does_not_fit(tmp_path, shape):
    channels = CHANNELS if shape[1] == 3 else {"person": [[10]], "parts": [[1], [-1]]}
    network = write_network(tmp_path / "n.onnx", channels, shape=shape)
    with pytest.raises(UserError, match=r"network's input does not fit|not an ONNX network"):
        load_parser(describe(tmp_path, network), COCO17)


def test_file_that_is_no_network(tmp_path):
    (tmp_path / "n.onnx").write_bytes(b"no network")
    with pytest.raises(UserError, match="not an ONNX network"):
        load_parser(describe(tmp_path, tmp_path / "n.onnx"), COCO17)


def test_missing_or_broken_yaml(tmp_path):
    with pytest.raises(UserError, match=r"no such parser.*set pool.parser to a file of presets"):
        load_parser(str(tmp_path / "none.yaml"), COCO17)
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(UserError, match="not yaml"):
        load_parser(str(tmp_path / "bad.yaml"), COCO17)


def test_bodypix_finds_coco_people(real_data, monkeypatch):
    monkeypatch.setenv("DAG_REAL_DATA", str(real_data))
    root = real_data / "data/coco"
    people, _ = read_coco(
        root / "annotations/person_keypoints_val2017.json",
        dataset="coco", split="val", skeleton=COCO17, image_folder="val2017",
    )  # fmt: skip
    parser = load_parser(str(BODYPIX), COCO17)
    metrics = []
    for person in [person for person in people if person.num_keypoints > 14 and person.bbox_xywh[3] > 100][:8]:
        photograph_people = [other for other in people if other.image_id == person.image_id]
        target = photograph_people.index(person)
        [parsed] = parser.parse(read_image(root, person.image_path), photograph_people, [target])
        annotated = decode_mask(person)
        found = np.zeros_like(annotated)
        height, width = parsed.parts.shape
        found[parsed.top : parsed.top + height, parsed.left : parsed.left + width] = parsed.parts > 0
        metrics.append(iou(found, annotated))
        assert parsed.parts.max() <= 24
    assert len(metrics) == 8
    assert np.median(metrics) > 0.75


def test_bodypix_is_not_taken_for_another(real_data, tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    name = "bodypix_mobilenet075_stride16.onnx"
    shutil.copy(real_data / "models" / name, tmp_path / "models" / name)
    with (tmp_path / "models" / name).open("ab") as file:
        file.write(b"\0")
    monkeypatch.setenv("DAG_REAL_DATA", str(tmp_path))
    with pytest.raises(UserError, match="another network"):
        load_parser(str(BODYPIX), COCO17)
    monkeypatch.delenv("DAG_REAL_DATA")
    with pytest.raises(UserError, match="export DAG_REAL_DATA=FOLDER"):
        load_parser(str(BODYPIX), COCO17)
