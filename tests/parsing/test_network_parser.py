"""Networks as parsers: resampling, normalisation, and batches that equal their windows one by one."""

import pickle
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from dag.parsing.ce2p import Ce2p
from dag.parsing.description import InputSpec
from dag.parsing.load import load_parser
from dag.parsing.network_parser import Network, NetworkParser, input_size, interpolation, normalise, padded_window
from dag.parsing.save import save_parser
from dag.skeleton import COCO17
from tests.onnx_files import CHANNELS, INPUT, OUTPUT, write_description, write_network
from tests.parsing.part_maps import in_image, iou
from tests.standing import HEIGHT, WIDTH, image, outline, standing

WINDOWS = [(0, 0, 90, 200), (55, 20, 70, 190), (110, 0, 90, 60), (7, 9, 90, 200), (190, 210, 1, 1)]
"""Two of one size, one wide, and one of a single pixel."""


def torch_parser(folder: Path) -> NetworkParser:
    torch.manual_seed(3)
    network = Ce2p(4)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.bias, std=0.5)  # otherwise all scores are zero
    save_parser(folder, network, ("background", "a", "b", "c"), backbone="narrow", side=64)
    parser = load_parser(folder, COCO17)
    assert isinstance(parser, NetworkParser)
    return parser


def onnx_parser(folder: Path) -> NetworkParser:
    parser = load_parser(write_description(folder, write_network(folder / "tiny.onnx", CHANNELS)), COCO17)
    assert isinstance(parser, NetworkParser)
    return parser


@pytest.fixture(params=[torch_parser, onnx_parser], ids=["torch", "onnx"])
def any_parser(request: pytest.FixtureRequest, tmp_path: Path) -> NetworkParser:
    return request.param(tmp_path)


@pytest.fixture
def noisy() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 60, (220, 200, 3), dtype=np.uint8)
    return image(outline(10, 25), outline(110, 25)) // 2 + noise


def test_outline_and_parts_of_a_person(parser: NetworkParser) -> None:
    person = standing(1, 60)
    [part_map] = parser.parse(image(outline(60, 25)), [person], [0])
    predicted = in_image(part_map)
    assert iou(predicted > 0, outline(60, 25)) > 0.95
    rows = np.arange(HEIGHT)[:, None]
    assert set(np.unique(predicted[(predicted > 0) & (rows < 123)])) == {1}
    assert set(np.unique(predicted[(predicted > 0) & (rows > 126)])) == {2}
    assert part_map.ambiguous < 0.02


@pytest.mark.parametrize("long_side", [57, 129, 301])
def test_scores_lie_on_their_pixels(tmp_path: Path, long_side: int) -> None:
    path = write_description(
        tmp_path, write_network(tmp_path / "one.onnx", CHANNELS, stride=1), input={**INPUT, "long_side": long_side}
    )
    image = np.zeros((90, 80, 3), dtype=np.uint8)
    cv2.circle(image, (37, 41), 4, (255, 255, 255), -1)
    left, top, width, height = 11, 13, 60, 70
    parser = load_parser(path, COCO17)
    assert isinstance(parser, NetworkParser)
    person, _ = parser.scores(image, [(left, top, width, height)])[0]
    assert person is not None
    rows, columns = np.nonzero(person > 0)
    assert person.shape == (height, width)
    np.testing.assert_allclose([columns.mean() + left, rows.mean() + top], [37, 41], atol=0.6)


def test_background_channel_instead_of_a_person_output(tmp_path: Path) -> None:
    path = write_network(tmp_path / "b.onnx", {"parts": [[-1, 0, 0], [1, 1, 0], [1, -1, 0]]}, stride=1)
    output = {**OUTPUT, "person": None, "samples": "centers"}
    parser = load_parser(write_description(tmp_path, path, output=output), COCO17)
    [part_map] = parser.parse(image(outline(60, 25)), [standing(1, 60)], [0])
    assert iou(in_image(part_map) > 0, outline(60, 25)) > 0.95
    assert set(np.unique(part_map.parts)) == {0, 1, 2}


def test_interpolation_reproduces_a_ramp() -> None:
    corners = interpolation(33, 2.0, 65, 5, "corners") @ np.arange(0, 65, 16.0)
    np.testing.assert_allclose(corners, np.arange(33) * 2)
    centers = interpolation(64, 1.0, 64, 4, "centers") @ (np.arange(4) * 16 + 7.5)
    np.testing.assert_allclose(centers[8:56], np.arange(8, 56))
    assert (centers[:7] == 7.5).all()


def test_input_sizes_follow_the_description() -> None:
    spec = InputSpec.model_validate({**INPUT, "long_side": 353, "multiple": 16})
    (width, height), scale = input_size(spec, 45, 100)
    assert (width, height, scale) == (161, 353, 352 / 99)
    assert input_size(spec, 1, 1)[0] == (17, 17)
    square = InputSpec.model_validate({**INPUT, "long_side": 96, "square": True})
    assert input_size(square, 45, 100)[0] == (96, 96)


def test_colour_order_and_normalisation() -> None:
    image = np.array([[[0, 10, 255]]], dtype=np.uint8)
    spec = {**INPUT, "mean": [1.0, 2.0, 3.0], "std": [2.0, 4.0, 5.0]}
    rgb = normalise(image, InputSpec.model_validate(spec))
    bgr = normalise(image, InputSpec.model_validate({**spec, "order": "bgr"}))
    np.testing.assert_allclose(rgb.ravel(), [-0.5, 2.0, 50.4])
    np.testing.assert_allclose(bgr.ravel(), [127.0, 2.0, -0.6])


def test_windows_are_clipped_to_the_image() -> None:
    person = replace(standing(1, 60), bbox_xywh=np.array([2.5, 0, 60, 100.0]))
    assert padded_window(person.bbox_xywh, WIDTH, HEIGHT) == (0, 0, 78, 116)


def test_a_batch_equals_its_windows_one_by_one(any_parser: NetworkParser, noisy: np.ndarray) -> None:
    assert isinstance(any_parser.network, Network)
    batch = any_parser.scores(noisy, WINDOWS)
    for window, (person, parts) in zip(WINDOWS, batch):
        single_person, single_parts = any_parser.scores(noisy, [window])[0]
        assert parts.shape == (parts.shape[0], window[3], window[2])
        np.testing.assert_allclose(parts, single_parts, rtol=1e-4, atol=1e-3)
        assert np.ptp(parts) > 0 or window[2:] == (1, 1)
        if person is not None:
            assert single_person is not None
            np.testing.assert_allclose(person, single_person, rtol=1e-4, atol=1e-3)


def test_scores_are_in_the_order_of_the_windows(any_parser: NetworkParser, noisy: np.ndarray) -> None:
    forward = any_parser.scores(noisy, WINDOWS)
    backward = any_parser.scores(noisy, WINDOWS[::-1])[::-1]
    for (_, parts), (_, expected) in zip(forward, backward):
        np.testing.assert_allclose(parts, expected, rtol=1e-4, atol=1e-3)


def test_no_targets_give_no_part_maps(any_parser: NetworkParser, noisy: np.ndarray) -> None:
    assert any_parser.parse(noisy, [standing(1, 10)], []) == []
    assert any_parser.scores(noisy, []) == []


def test_a_pickled_parser_is_small_and_predicts_the_same(any_parser: NetworkParser, noisy: np.ndarray) -> None:
    pickled = pickle.dumps(any_parser)
    assert len(pickled) < 20_000, "weights are pickled as a file name"
    restored = pickle.loads(pickled)
    for (_, parts), (_, expected) in zip(restored.scores(noisy, WINDOWS), any_parser.scores(noisy, WINDOWS)):
        assert np.array_equal(parts, expected)


def test_targets_are_indices_of_the_annotations(any_parser: NetworkParser, noisy: np.ndarray) -> None:
    people = [standing(1, 10), standing(2, 60, masked=False), standing(3, 110)]
    part_maps = any_parser.parse(noisy, people, [0, 1, 2])
    [last] = any_parser.parse(noisy, people, [2])
    assert (last.left, last.top, last.ambiguous) == (part_maps[2].left, part_maps[2].top, part_maps[2].ambiguous)
    assert np.array_equal(last.parts, part_maps[2].parts)
    assert last.parts.max() <= len(any_parser.labels)
