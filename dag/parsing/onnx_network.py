"""Any human-parsing network in ONNX form."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import onnxruntime
from jaxtyping import Float32

from dag.errors import UserError
from dag.parsing.description import InputRule, OutputRule


class OnnxNetwork:
    """An ONNX file. Instances go in one by one where its batch is fixed to one.

    Args:
        path: the file.
        input_rule, output_rule: what it is said to take and give.
        where: the description's file, for errors.

    Raises:
        UserError: not an ONNX network, or one that does not fit its description.
    """

    def __init__(self, path: Path, input_rule: InputRule, output_rule: OutputRule, where: str | Path):
        self.path, self.written = path, path.stat().st_mtime_ns
        self.names = [output_rule.parts] if output_rule.person is None else [output_rule.parts, output_rule.person]
        session = _session(path, self.written)
        shape = session.get_inputs()[0].shape
        self.single = shape[0] == 1
        fixed = [side for side in shape[2:] if isinstance(side, int)]
        good = len(shape) == 4 and shape[1] in (3, "c", None)
        good = good and all(input_rule.square and side == input_rule.long_side for side in fixed)
        if len(session.get_inputs()) != 1 or not good:
            expected = f"one input, 1 x 3 x height x width, that takes {input_rule.long_side} on the long side"
            got = [entry.shape for entry in session.get_inputs()]
            raise UserError("network's input does not fit the description", where=where, expected=expected, got=got)
        names = [output.name for output in session.get_outputs()]
        missing = [name for name in self.names if name not in names]
        if missing:
            raise UserError("network has no such output", where=where, expected=f"one of {names}", got=missing[0])

    def run(self, batch: Float32[np.ndarray, "n 3 hi wi"]) -> list[Float32[np.ndarray, "..."]]:
        """Scores of parts and, where it has such an output, of person."""
        parts = [batch[number : number + 1] for number in range(len(batch))] if self.single else [batch]
        return [np.concatenate(outputs) for outputs in zip(*map(self._run, parts))]

    def _run(self, tensor: Float32[np.ndarray, "n 3 hi wi"]) -> list[np.ndarray]:
        session = _session(self.path, self.written)
        try:
            return session.run(self.names, {session.get_inputs()[0].name: tensor})  # type: ignore[return-value]
        except Exception as error:
            # onnxruntime's errors have no common base class
            where, got = self.path, list(tensor.shape)
            raise UserError(f"network does not take its input ({error})", where=where, got=got) from None


@lru_cache(maxsize=4)
def _session(network: Path, written: int) -> onnxruntime.InferenceSession:
    """One session a process, on one thread: people are shared out over processes, and sums keep their order.

    `written`, when the file was, is there for the memory: a worker that lives long must not keep an old network.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # onnxruntime's errors have no common base class
        raise UserError("not an ONNX network", where=network, got=error) from None
