"""Fixtures of the parsers' tests: a tiny ONNX network and a parser that runs it."""

from pathlib import Path

import pytest

from dag.parsing.load import load_parser
from dag.parsing.network_parser import NetworkParser
from dag.skeleton import COCO17
from tests.onnx_files import CHANNELS, write_description, write_network


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """An ONNX file that segments the persons of `tests.standing.image`."""
    return write_network(tmp_path / "tiny.onnx", CHANNELS)


@pytest.fixture
def parser(tmp_path: Path, network: Path) -> NetworkParser:
    loaded = load_parser(write_description(tmp_path, network), COCO17)
    assert isinstance(loaded, NetworkParser)
    return loaded
