"""Any human-parsing network in ONNX form, run on each person's padded box."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from jaxtyping import Float, Float32, UInt8

from dag.data.parsing.base import Parsed
from dag.data.parsing.description import InputRule, network_file, read_description
from dag.data.parsing.separate import separate
from dag.errors import UserError
from dag.person import Person
from dag.skeleton import Skeleton

CONTEXT = 0.15
"""Share of the box's longer side that the network sees beyond the box: where a person ends shows only from outside."""


class OnnxParser:
    """A network that is asked about each person's padded box; its answer is then cut down to that person.

    Args:
        path: its description, see `dag.data.parsing.description`.
        skeleton: what the people's joints are.

    Raises:
        UserError: a faulty description, a missing or wrong file, or a network that does not fit its description.
    """

    def __init__(self, path: str | Path, skeleton: Skeleton):
        self.path, self.skeleton = path, skeleton
        self.description = read_description(path)
        self.labels = tuple(self.description.labels)
        self.network = network_file(self.description, path)
        self._check_network()
        self.scores(np.zeros((64, 48, 3), dtype=np.uint8), (0, 0, 48, 64))

    def parse(
        self, image: UInt8[np.ndarray, "H W 3"], people: Sequence[Person], targets: Sequence[int]
    ) -> list[Parsed]:
        """Part maps of the padded boxes."""
        return [self._parse(image, people, target) for target in targets]

    def _parse(self, image: UInt8[np.ndarray, "H W 3"], people: Sequence[Person], target: int) -> Parsed:
        window = padded_window(people[target], image.shape[1], image.shape[0])
        parts = self.part_map(*self.scores(image, window))
        others = [person for number, person in enumerate(people) if number != target]
        mask, contested = separate(parts > 0, window[:2], people[target], others, self.skeleton)
        return Parsed(window[0], window[1], np.where(mask, parts, np.uint8(0)), contested)

    def part_map(
        self, person: Float[np.ndarray, "h w"] | None, parts: Float[np.ndarray, "K h w"]
    ) -> UInt8[np.ndarray, "h w"]:
        """1 + the best part where there is a person, else 0, from the scores of `scores`."""
        best = parts.argmax(axis=0).astype(np.uint8)
        if person is None:
            return best
        threshold = self.description.output.threshold
        return np.where(person > np.log(threshold / (1 - threshold)), best + np.uint8(1), np.uint8(0))

    def scores(
        self, image: UInt8[np.ndarray, "H W 3"], window: tuple[int, int, int, int]
    ) -> tuple[Float[np.ndarray, "h w"] | None, Float[np.ndarray, "K h w"]]:
        """Scores of person (None where the network has no such output) and of parts on each pixel of a window.

        Args:
            image: RGB.
            window: left, top, width, height in pixels of the photograph.
        """
        left, top, width, height = window
        (input_width, input_height), scale = input_size(self.description.input, width, height)
        affine = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
        crop = cv2.warpAffine(image, affine, (input_width, input_height), flags=cv2.INTER_LINEAR)
        outputs = self._run(normalise(crop, self.description.input))
        samples = self.description.output.samples
        rows = [interpolation(height, scale, input_height, output.shape[2], samples) for output in outputs]
        columns = [interpolation(width, scale, input_width, output.shape[3], samples) for output in outputs]
        parts, *person = [up @ output[0] @ across.T for up, output, across in zip(rows, outputs, columns)]
        return person[0][0] if person else None, parts

    def _check_network(self) -> None:
        """Input of rank 4 with 3 channels and sides that the rule can give; outputs of the names described."""
        session = _session(self.network)
        shape = session.get_inputs()[0].shape
        fixed = [side for side in shape[2:] if isinstance(side, int)]
        rule = self.description.input
        good = len(shape) == 4 and shape[1] in (3, "c", None)
        good = good and all(rule.square and side == rule.long_side for side in fixed)
        if len(session.get_inputs()) != 1 or not good:
            expected = f"one input, 1 x 3 x height x width, that takes {rule.long_side} on the long side"
            got = [entry.shape for entry in session.get_inputs()]
            raise UserError("network's input does not fit the description", where=self.path, expected=expected, got=got)
        names = [output.name for output in session.get_outputs()]
        missing = [name for name in self._output_names() if name not in names]
        if missing:
            raise UserError("network has no such output", where=self.path, expected=f"one of {names}", got=missing[0])

    def _output_names(self) -> list[str]:
        output = self.description.output
        return [output.parts] if output.person is None else [output.parts, output.person]

    def _run(self, tensor: Float32[np.ndarray, "1 3 hi wi"]) -> list[Float32[np.ndarray, "1 K h w"]]:
        session = _session(self.network)
        try:
            outputs: Any = session.run(self._output_names(), {session.get_inputs()[0].name: tensor})
        except Exception as error:
            # onnxruntime's errors have no common base class
            where, got = self.network, list(tensor.shape)
            raise UserError(f"network does not take its input ({error})", where=where, got=got) from None
        background = int(self.description.output.person is None)
        channels = [len(self.labels) + background, 1]
        for name, output, expected in zip(self._output_names(), outputs, channels):
            if output.ndim != 4 or output.shape[1] != expected:
                expected = f"1 x {expected} x height x width"
                what = f"output {name} does not fit the description"
                raise UserError(what, where=self.path, expected=expected, got=list(output.shape))
        return outputs


@lru_cache(maxsize=4)
def _session(network: Path) -> onnxruntime.InferenceSession:
    """One session a process, on one thread: people are shared out over processes, and sums keep their order."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # onnxruntime's errors have no common base class
        raise UserError("not an ONNX network", where=network, got=error) from None


def padded_window(person: Person, image_width: int, image_height: int) -> tuple[int, int, int, int]:
    """Left, top, width, height of a person's box with `CONTEXT` round it, in whole pixels of the photograph."""
    x, y, width, height = person.bbox_xywh
    pad = CONTEXT * max(width, height)
    left, top = max(int(x - pad), 0), max(int(y - pad), 0)
    right, bottom = min(int(x + width + pad) + 1, image_width), min(int(y + height + pad) + 1, image_height)
    return left, top, max(right - left, 1), max(bottom - top, 1)


def input_size(rule: InputRule, width: int, height: int) -> tuple[tuple[int, int], float]:
    """Input width and height for a window, and input pixels a photograph pixel; the first pixels coincide."""
    scale = (rule.long_side - 1) / max(width - 1, height - 1, 1)
    if rule.square:
        return (rule.long_side, rule.long_side), scale
    sides = [(side - 1) * scale + 1 for side in (width, height)]
    steps = [max(int(np.ceil((side - rule.plus) / rule.multiple - 1e-9)), 1) for side in sides]
    return (rule.multiple * steps[0] + rule.plus, rule.multiple * steps[1] + rule.plus), scale


def normalise(crop: UInt8[np.ndarray, "hi wi 3"], rule: InputRule) -> Float32[np.ndarray, "1 3 hi wi"]:
    """RGB grey levels to what the network sees."""
    crop = crop if rule.order == "rgb" else crop[..., ::-1]
    scaled = (crop - np.array(rule.mean, dtype=np.float32)) / np.array(rule.std, dtype=np.float32)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])


def interpolation(
    pixels: int, scale: float, input_side: int, samples: int, where: str
) -> Float32[np.ndarray, "pixels samples"]:
    """Weights that bring `samples` scores along an input side to the first `pixels` pixels of a window (linear).

    Args:
        pixels: of the window.
        scale: input pixels a window pixel.
        input_side: pixels of the input.
        samples: scores along it.
        where: they lie, "corners" or "centers" (`OutputRule.samples`).
    """
    at_input = np.arange(pixels) * scale
    if where == "corners":
        at_sample = at_input * (samples - 1) / max(input_side - 1, 1)
    else:
        at_sample = (at_input + 0.5) * samples / input_side - 0.5
    distance = np.abs(at_sample.clip(0, samples - 1)[:, None] - np.arange(samples))
    return np.maximum(0, 1 - distance).astype(np.float32)
