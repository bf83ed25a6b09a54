"""A parsing network asked about each person's padded box, batched over an image's people."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from dag.annotation import PersonAnnotation
from dag.errors import UserError
from dag.masks import PartMap
from dag.parsing.description import InputRule, OutputRule
from dag.parsing.separation import separate
from dag.skeleton import Skeleton

CONTEXT = 0.15
"""Fraction of the box's longer side that the network sees beyond the box: where a person ends shows only from outside."""


@runtime_checkable
class Network(Protocol):
    """What runs: ONNX (`dag.parsing.onnx_network`) or torch (`dag.parsing.ce2p_network`). Pickles as a file name."""

    def run(self, batch: Float32[np.ndarray, "n 3 hi wi"]) -> list[Float32[np.ndarray, "n K h w"]]:
        """Scores of parts and, where the network has such an output, of person."""
        ...


class NetworkParser:
    """A network's answer about each person's padded box, cut down to that person.

    Args:
        network: what runs.
        labels: names of the parts.
        input_rule, output_rule: what goes in and what comes out.
        skeleton: what the people's joints are.
        where: the description's file, for errors.

    Raises:
        UserError: the network does not fit its description.
    """

    def __init__(
        self,
        network: Network,
        labels: Sequence[str],
        input_rule: InputRule,
        output_rule: OutputRule,
        skeleton: Skeleton,
        where: str | Path,
    ):
        self.network, self.labels, self.skeleton, self.where = network, tuple(labels), skeleton, where
        self.input_rule, self.output_rule = input_rule, output_rule
        self.scores(np.zeros((64, 48, 3), dtype=np.uint8), [(0, 0, 48, 64)])

    def parse(
        self, image: UInt8[np.ndarray, "H W 3"], people: Sequence[PersonAnnotation], targets: Sequence[int]
    ) -> list[PartMap]:
        """Part maps of the padded boxes."""
        windows = [padded_window(people[target].bbox_xywh, image.shape[1], image.shape[0]) for target in targets]
        parsed = []
        for target, window, (person, parts) in zip(targets, windows, self.scores(image, windows)):
            part_map = self.part_map(person, parts)
            others = [other for number, other in enumerate(people) if number != target]
            mask, ambiguous = separate(part_map > 0, window[:2], people[target], others, self.skeleton)
            parsed.append(PartMap(window[0], window[1], np.where(mask, part_map, np.uint8(0)), ambiguous))
        return parsed

    def part_map(
        self, person: Float[np.ndarray, "h w"] | None, parts: Float[np.ndarray, "K h w"]
    ) -> UInt8[np.ndarray, "h w"]:
        """1 + the best part where there is a person, else 0, from the scores of `scores`."""
        best = parts.argmax(axis=0).astype(np.uint8)
        if person is None:
            return best
        threshold = self.output_rule.threshold
        return np.where(person > np.log(threshold / (1 - threshold)), best + np.uint8(1), np.uint8(0))

    def scores(
        self, image: UInt8[np.ndarray, "H W 3"], windows: Sequence[tuple[int, int, int, int]]
    ) -> list[tuple[Float[np.ndarray, "h w"] | None, Float[np.ndarray, "K h w"]]]:
        """Scores of person (None where the network has no such output) and of parts on each pixel of each window.

        Args:
            image: RGB.
            windows: left, top, width, height in pixels of the image.
        """
        found: dict[int, tuple[np.ndarray | None, np.ndarray]] = {}
        for size in dict.fromkeys(input_size(self.input_rule, *window[2:])[0] for window in windows):
            alike = [n for n, window in enumerate(windows) if input_size(self.input_rule, *window[2:])[0] == size]
            batch = np.concatenate([self._crop(image, windows[number]) for number in alike])
            outputs = self._checked(self.network.run(batch), len(alike))
            for place, number in enumerate(alike):
                found[number] = self._on_window([output[place] for output in outputs], windows[number])
        return [found[number] for number in range(len(windows))]

    def _crop(
        self, image: UInt8[np.ndarray, "H W 3"], window: tuple[int, int, int, int]
    ) -> Float32[np.ndarray, "1 3 hi wi"]:
        left, top, width, height = window
        size, scale = input_size(self.input_rule, width, height)
        affine = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
        return normalise(cv2.warpAffine(image, affine, size, flags=cv2.INTER_LINEAR), self.input_rule)

    def _on_window(
        self, outputs: list[np.ndarray], window: tuple[int, int, int, int]
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """Scores brought to the pixels of a window."""
        width, height = window[2:]
        (input_width, input_height), scale = input_size(self.input_rule, width, height)
        samples = self.output_rule.samples
        enlarged = []
        for output in outputs:
            up = interpolation(height, scale, input_height, output.shape[1], samples)
            across = interpolation(width, scale, input_width, output.shape[2], samples)
            enlarged.append(up @ output @ across.T)
        parts, *person = enlarged
        return person[0][0] if person else None, parts

    def _checked(self, outputs: list[np.ndarray], count: int) -> list[np.ndarray]:
        background = int(self.output_rule.person is None)
        names = [self.output_rule.parts, self.output_rule.person]
        for name, output, channels in zip(names, outputs, (len(self.labels) + background, 1)):
            if output.ndim != 4 or output.shape[:2] != (count, channels):
                expected, what = f"{count} x {channels} x height x width", f"output {name} does not fit the description"
                raise UserError(what, where=self.where, expected=expected, got=list(output.shape))
        return outputs


def padded_window(bbox_xywh: Float[np.ndarray, "4"], image_width: int, image_height: int) -> tuple[int, int, int, int]:
    """Left, top, width, height of a box with `CONTEXT` round it, in whole pixels of the image."""
    x, y, width, height = bbox_xywh
    pad = CONTEXT * max(width, height)
    left, top = max(int(x - pad), 0), max(int(y - pad), 0)
    right, bottom = min(int(x + width + pad) + 1, image_width), min(int(y + height + pad) + 1, image_height)
    return left, top, max(right - left, 1), max(bottom - top, 1)


def input_size(rule: InputRule, width: int, height: int) -> tuple[tuple[int, int], float]:
    """Input width and height for a window, and input pixels an image pixel; the first pixels coincide."""
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
