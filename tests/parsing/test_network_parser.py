"""Many windows at once give what each gives alone, whatever runs the network."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from dag.errors import UserError
from dag.parsing.ce2p import Ce2p
from dag.parsing.save import save_parser
from dag.parsing.load import load_parser
from dag.parsing.network_parser import Network, NetworkParser
from dag.parsing.ce2p_network import Ce2pNetwork
from dag.skeleton import COCO17
from tests.imports import ROOT
from tests.onnx_files import write_network
from tests.parsing.test_parsing import CHANNELS, describe
from tests.standing import outline, image, standing

WINDOWS = [(0, 0, 90, 200), (55, 20, 70, 190), (110, 0, 90, 60), (7, 9, 90, 200), (190, 210, 1, 1)]
"""Two of one size, one wide, and one of a single pixel."""


def torch_parser(folder: Path) -> NetworkParser:
    torch.manual_seed(3)
    network = Ce2p(4)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.bias, std=0.5)  # or nothing would be scored but nought
    save_parser(folder, network, ("background", "a", "b", "c"), backbone="narrow", side=64)
    parser = load_parser(folder, COCO17)
    assert isinstance(parser, NetworkParser)
    return parser


def onnx_parser(folder: Path) -> NetworkParser:
    parser = load_parser(describe(folder, write_network(folder / "tiny.onnx", CHANNELS)), COCO17)
    assert isinstance(parser, NetworkParser)
    return parser


@pytest.fixture(params=[torch_parser, onnx_parser], ids=["torch", "onnx"])
def parser(request: pytest.FixtureRequest, tmp_path: Path) -> NetworkParser:
    return request.param(tmp_path)


@pytest.fixture
def image() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 60, (220, 200, 3), dtype=np.uint8)
    return image(outline(10, 25), outline(110, 25)) // 2 + noise


def test_a_batch_is_its_windows_one_by_one(parser: NetworkParser, image: np.ndarray) -> None:
    assert isinstance(parser.network, Network)
    together = parser.scores(image, WINDOWS)
    for window, (person, parts) in zip(WINDOWS, together):
        alone_person, alone_parts = parser.scores(image, [window])[0]
        assert parts.shape == (parts.shape[0], window[3], window[2])
        np.testing.assert_allclose(parts, alone_parts, rtol=1e-4, atol=1e-3)
        assert np.ptp(parts) > 0 or window[2:] == (1, 1)
        if person is not None:
            assert alone_person is not None
            np.testing.assert_allclose(person, alone_person, rtol=1e-4, atol=1e-3)


def test_the_order_of_windows_is_the_order_of_answers(parser: NetworkParser, image: np.ndarray) -> None:
    forth, back = parser.scores(image, WINDOWS), parser.scores(image, WINDOWS[::-1])[::-1]
    for (_, one), (_, other) in zip(forth, back):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


def test_nobody_asked_is_nothing_answered(parser: NetworkParser, image: np.ndarray) -> None:
    assert parser.parse(image, [standing(1, 10)], []) == []
    assert parser.scores(image, []) == []


def test_a_pickled_parser_is_small_and_answers_the_same(parser: NetworkParser, image: np.ndarray) -> None:
    text = pickle.dumps(parser)
    assert len(text) < 20_000, "the weights travel as a file name"
    for (_, one), (_, other) in zip(parser.scores(image, WINDOWS), pickle.loads(text).scores(image, WINDOWS)):
        assert np.array_equal(one, other)


def test_targets_choose_among_all_rows(parser: NetworkParser, image: np.ndarray) -> None:
    people = [standing(1, 10), standing(2, 60, masked=False), standing(3, 110)]
    every = parser.parse(image, people, [0, 1, 2])
    [last] = parser.parse(image, people, [2])
    assert (last.left, last.top, last.ambiguous) == (every[2].left, every[2].top, every[2].ambiguous)
    assert np.array_equal(last.parts, every[2].parts)
    assert last.parts.max() <= len(parser.labels)


def test_weights_are_loaded_once_and_again_when_the_file_has_changed(tmp_path: Path) -> None:
    torch_parser(tmp_path)
    path, crops = tmp_path / "model.safetensors", np.zeros((1, 3, 64, 64), np.float32)
    network = Ce2pNetwork(path, 4, "narrow")
    first = network.run(crops)[0]
    content = path.read_bytes()
    path.unlink()
    assert np.array_equal(network.run(crops)[0], first)
    path.write_bytes(content[:100])
    with pytest.raises(UserError, match=r"not a file of weights"):
        Ce2pNetwork(path, 4, "narrow")


def test_bodypix_on_photographs_one_by_one(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAG_REAL_DATA", str(real_data))
    parser = load_parser(ROOT / "presets/parsers/bodypix.yaml", COCO17)
    assert isinstance(parser, NetworkParser)
    image = np.random.default_rng(0).integers(0, 255, (220, 200, 3), dtype=np.uint8)
    windows = [(0, 0, 90, 200), (100, 10, 90, 200)]
    for window, (_, parts) in zip(windows, parser.scores(image, windows)):
        np.testing.assert_allclose(parts, parser.scores(image, [window])[0][1], rtol=1e-3, atol=1e-3)
