"""Human-parsing networks in ONNX form."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32

from dag.errors import UserError
from dag.parsing.description import InputSpec, Labels, OutputSpec, ParserDescription, Sha256, network_file
from dag.parsing.network_parser import NetworkParser
from dag.skeleton import Skeleton


class OnnxDescription(ParserDescription):
    """Description of an ONNX network.

    Attributes:
        file: the network, relative to the description; environment variables are expanded.
        sha256: hash of the file, so that a pool depends on one network.
        labels: names of the parts, in the order of the channels.
    """

    kind: Literal["onnx"]
    file: str
    sha256: Sha256
    input: InputSpec
    output: OutputSpec
    labels: Labels

    def load(self, path: Path, skeleton: Skeleton) -> NetworkParser:
        network = OnnxNetwork(network_file(self.file, self.sha256, path), self.input, self.output, path)
        return NetworkParser(network, self.labels, self.input, self.output, skeleton, path)


class OnnxNetwork:
    """An ONNX network. Crops are run one by one if its batch size is fixed to one.

    Args:
        path: the ONNX file.
        input_spec, output_spec: described input and output.
        where: the file of the description, for errors.

    Raises:
        UserError: the file is not an ONNX network or does not match its description.
    """

    def __init__(self, path: Path, input_spec: InputSpec, output_spec: OutputSpec, where: str | Path):
        self.path, self.modified = path, path.stat().st_mtime_ns
        self.names = [output_spec.parts] if output_spec.person is None else [output_spec.parts, output_spec.person]
        session = _session(path, self.modified)
        shapes = [entry.shape for entry in session.get_inputs()]
        self.single = shapes[0][0] == 1
        if len(shapes) != 1 or not _accepts(shapes[0], input_spec):
            expected = f"one input, 1 x 3 x height x width, with {input_spec.long_side} pixels on the longer side"
            what = "input of the network does not match the description"
            raise UserError(what, where=where, expected=expected, got=shapes)
        outputs = [output.name for output in session.get_outputs()]
        missing = [name for name in self.names if name not in outputs]
        if missing:
            raise UserError("network has no such output", where=where, expected=f"one of {outputs}", got=missing[0])

    def run(self, batch: Float32[np.ndarray, "n 3 hi wi"]) -> list[Float32[np.ndarray, "..."]]:
        """Scores of the parts, and of person if the network has such an output."""
        batches = [batch[index : index + 1] for index in range(len(batch))] if self.single else [batch]
        return [np.concatenate(outputs) for outputs in zip(*map(self._run, batches))]

    def _run(self, batch: Float32[np.ndarray, "n 3 hi wi"]) -> list[np.ndarray]:
        session = _session(self.path, self.modified)
        try:
            return session.run(self.names, {session.get_inputs()[0].name: batch})
        except Exception as error:
            # Errors of onnxruntime have no common base class.
            what = f"network does not accept its input ({error})"
            raise UserError(what, where=self.path, got=list(batch.shape)) from None


def _accepts(shape: Sequence[Any], spec: InputSpec) -> bool:
    """Whether a network's input shape, whose free sides are names or None, agrees with a description."""
    fixed_sides = [side for side in shape[2:] if isinstance(side, int)]
    sizes_agree = all(spec.square and side == spec.long_side for side in fixed_sides)
    return len(shape) == 4 and shape[1] in (3, "c", None) and sizes_agree


@lru_cache(maxsize=4)
def _session(network: Path, modified: int) -> Any:
    """One session per process, single-threaded: persons are distributed over processes, and sums stay deterministic.

    `modified`, the file's modification time, is part of the cache key, so that a long-lived worker reloads a file.
    """
    import onnxruntime  # slow to import, and other parsers do not need it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # Errors of onnxruntime have no common base class.
        raise UserError("not an ONNX network", where=network, got=error) from None
