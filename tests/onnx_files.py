"""Tiny ONNX networks, written byte by byte (onnx.proto3), with known outputs, and their descriptions."""

from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from dag.files import sha256

INPUT = {
    "long_side": 257, "multiple": 4, "plus": 1, "square": False, "order": "rgb", "mean": [127.5] * 3, "std": [127.5] * 3
}  # fmt: skip
OUTPUT = {"parts": "parts", "person": "person", "threshold": 0.6, "samples": "corners"}
CHANNELS = {"person": [[10, 0, 0]], "parts": [[0, 1, 0], [0, -1, 0]]}
"""Persons are red; their upper part is green as well."""


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    payload = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _value(name: str, shape: list[int | str]) -> bytes:
    sides = b"".join(_field(1, _field(1, side) if isinstance(side, int) else _field(2, side)) for side in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, sides)))


def _convolution(name: str, weights: np.ndarray, stride: int) -> tuple[bytes, bytes]:
    """A node and its weights: 1 x 1 convolution of the input, without bias."""
    strides = _field(1, "strides") + _field(8, stride) * 2 + _field(20, 7)
    node = _field(1, "image") + _field(1, f"{name}_weights") + _field(2, name) + _field(4, "Conv") + _field(5, strides)
    dims = b"".join(_field(1, side) for side in (*weights.shape, 1, 1))
    tensor = dims + _field(2, 1) + _field(8, f"{name}_weights") + _field(9, weights.astype("<f4").tobytes())
    return node, tensor


def write_network(
    path: Path,
    outputs: dict[str, list[list[float]]],
    *,
    stride: int = 4,
    shape: tuple[int | str, ...] = (1, 3, "h", "w"),
) -> Path:
    """Write a network with `outputs` by name; each channel has weights of red, green and blue at every stride."""
    graph = _field(2, "tiny") + _field(11, _value("image", list(shape)))
    for name, channels in outputs.items():
        node, tensor = _convolution(name, np.array(channels), stride)
        graph += _field(1, node) + _field(5, tensor) + _field(12, _value(name, [1, len(channels), "y", "x"]))
    path.write_bytes(_field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 13)))
    return path


def write_description(folder: Path, network: Path, **changes: Any) -> Path:
    """Write the description of a network; changes replace keys, and None removes a key."""
    content = {
        "kind": "onnx", "file": str(network), "sha256": sha256(network),
        "input": INPUT, "output": OUTPUT, "labels": ["upper", "lower"], **changes,
    }  # fmt: skip
    path = folder / "parser.yaml"
    with path.open("w") as file:
        YAML(typ="safe", pure=True).dump({key: value for key, value in content.items() if value is not None}, file)
    return path
