"""A segmentation network as a human parser: it is applied to each person's padded box, in batches per image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from dag.annotation import PersonAnnotation
from dag.errors import UserError
from dag.masks import PartMap, Window
from dag.parsing.description import InputSpec, OutputSpec
from dag.parsing.separation import separate_person
from dag.skeleton import Skeleton

CONTEXT = 0.15
"""Padding on each side of the bounding box as a fraction of its longer side; the network needs context outside it."""


@runtime_checkable
class Network(Protocol):
    """A segmentation network (`OnnxNetwork`, `Ce2pNetwork`). It is pickled as a file name."""

    def run(self, batch: Float32[np.ndarray, "n 3 hi wi"]) -> list[Float32[np.ndarray, "n K h w"]]:
        """Scores of the parts, and of person if the network has such an output."""
        ...


class NetworkParser:
    """Part maps of a network's prediction in each person's padded box, restricted to that person.

    Args:
        network: the network.
        labels: names of the parts.
        input_spec, output_spec: input and output of the network.
        skeleton: skeleton of the annotations.
        where: the file of the description, for errors.

    Raises:
        UserError: the network does not match its description.
    """

    def __init__(
        self,
        network: Network,
        labels: Sequence[str],
        input_spec: InputSpec,
        output_spec: OutputSpec,
        skeleton: Skeleton,
        where: str | Path,
    ):
        self.network, self.labels, self.skeleton, self.where = network, tuple(labels), skeleton, where
        self.input_spec, self.output_spec = input_spec, output_spec
        self.scores(np.zeros((64, 48, 3), dtype=np.uint8), [(0, 0, 48, 64)])

    def parse(
        self, image: UInt8[np.ndarray, "H W 3"], people: Sequence[PersonAnnotation], targets: Sequence[int]
    ) -> list[PartMap]:
        """Part maps of the padded boxes of `people[target]`."""
        windows = [padded_window(people[target].bbox_xywh, image.shape[1], image.shape[0]) for target in targets]
        part_maps = []
        for target, window, (person, parts) in zip(targets, windows, self.scores(image, windows)):
            part_map = self.part_map(person, parts)
            others = [other for number, other in enumerate(people) if number != target]
            mask, ambiguous = separate_person(part_map > 0, window[:2], people[target], others, self.skeleton)
            part_maps.append(PartMap(window[0], window[1], np.where(mask, part_map, np.uint8(0)), ambiguous))
        return part_maps

    def part_map(
        self, person: Float[np.ndarray, "h w"] | None, parts: Float[np.ndarray, "K h w"]
    ) -> UInt8[np.ndarray, "h w"]:
        """1 + the part of the highest score where there is a person, else 0, from the result of `scores`."""
        best = parts.argmax(axis=0).astype(np.uint8)
        if person is None:
            return best
        threshold = self.output_spec.threshold
        return np.where(person > np.log(threshold / (1 - threshold)), best + np.uint8(1), np.uint8(0))

    def scores(
        self, image: UInt8[np.ndarray, "H W 3"], windows: Sequence[Window]
    ) -> list[tuple[Float[np.ndarray, "h w"] | None, Float[np.ndarray, "K h w"]]]:
        """Scores of person (None if the network has no such output) and of parts for each pixel of each window.

        Args:
            image: RGB.
            windows: left, top, width, height in pixels of the image.
        """
        scores: dict[int, tuple[np.ndarray | None, np.ndarray]] = {}
        for size in dict.fromkeys(input_size(self.input_spec, *window[2:])[0] for window in windows):
            numbers = [n for n, window in enumerate(windows) if input_size(self.input_spec, *window[2:])[0] == size]
            batch = np.concatenate([self._crop(image, windows[number]) for number in numbers])
            outputs = self._checked(self.network.run(batch), len(numbers))
            for index, number in enumerate(numbers):
                scores[number] = self._resampled([output[index] for output in outputs], windows[number])
        return [scores[number] for number in range(len(windows))]

    def _crop(self, image: UInt8[np.ndarray, "H W 3"], window: Window) -> Float32[np.ndarray, "1 3 hi wi"]:
        left, top, width, height = window
        size, scale = input_size(self.input_spec, width, height)
        affine = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
        return normalise(cv2.warpAffine(image, affine, size, flags=cv2.INTER_LINEAR), self.input_spec)

    def _resampled(self, outputs: list[np.ndarray], window: Window) -> tuple[np.ndarray | None, np.ndarray]:
        """Scores of person and parts, resampled to the pixels of a window."""
        width, height = window[2:]
        (input_width, input_height), scale = input_size(self.input_spec, width, height)
        samples = self.output_spec.samples
        resampled = []
        for output in outputs:
            along_y = interpolation(height, scale, input_height, output.shape[1], samples)
            along_x = interpolation(width, scale, input_width, output.shape[2], samples)
            resampled.append(along_y @ output @ along_x.T)
        parts, *person = resampled
        return person[0][0] if person else None, parts

    def _checked(self, outputs: list[np.ndarray], count: int) -> list[np.ndarray]:
        """The outputs, if they have the described number of channels."""
        background = int(self.output_spec.person is None)
        names = [self.output_spec.parts, self.output_spec.person]
        for name, output, channels in zip(names, outputs, (len(self.labels) + background, 1)):
            if output.ndim != 4 or output.shape[:2] != (count, channels):
                what, expected = (
                    f"output {name} does not match the description",
                    f"{count} x {channels} x height x width",
                )
                raise UserError(what, where=self.where, expected=expected, got=list(output.shape))
        return outputs


def padded_window(bbox_xywh: Float[np.ndarray, "4"], image_width: int, image_height: int) -> Window:
    """Window of a bounding box padded by `CONTEXT`, in whole pixels, clipped to the image."""
    x, y, width, height = bbox_xywh
    pad = CONTEXT * max(width, height)
    left, top = max(int(x - pad), 0), max(int(y - pad), 0)
    right, bottom = min(int(x + width + pad) + 1, image_width), min(int(y + height + pad) + 1, image_height)
    return left, top, max(right - left, 1), max(bottom - top, 1)


def input_size(spec: InputSpec, width: int, height: int) -> tuple[tuple[int, int], float]:
    """Input width and height for a window, and input pixels per image pixel; the first pixels coincide."""
    scale = (spec.long_side - 1) / max(width - 1, height - 1, 1)
    if spec.square:
        return (spec.long_side, spec.long_side), scale
    sides = [(side - 1) * scale + 1 for side in (width, height)]
    steps = [max(int(np.ceil((side - spec.plus) / spec.multiple - 1e-9)), 1) for side in sides]
    return (spec.multiple * steps[0] + spec.plus, spec.multiple * steps[1] + spec.plus), scale


def normalise(crop: UInt8[np.ndarray, "hi wi 3"], spec: InputSpec) -> Float32[np.ndarray, "1 3 hi wi"]:
    """Network input of an RGB crop: channels in the described order, normalised."""
    crop = crop if spec.order == "rgb" else crop[..., ::-1]
    normalised = (crop - np.array(spec.mean, dtype=np.float32)) / np.array(spec.std, dtype=np.float32)
    return np.ascontiguousarray(normalised.transpose(2, 0, 1)[None])


def interpolation(
    pixels: int, scale: float, input_side: int, samples: int, location: str
) -> Float32[np.ndarray, "pixels samples"]:
    """Weights of the linear interpolation of scores at the pixels of a window, along one axis.

    Args:
        pixels: number of pixels of the window.
        scale: input pixels per window pixel.
        input_side: number of pixels of the input.
        samples: number of scores along the input.
        location: location of the scores, "corners" or "centers" (`OutputSpec.samples`).
    """
    input_xs = np.arange(pixels) * scale
    if location == "corners":
        sample_xs = input_xs * (samples - 1) / max(input_side - 1, 1)
    else:
        sample_xs = (input_xs + 0.5) * samples / input_side - 0.5
    distance = np.abs(sample_xs.clip(0, samples - 1)[:, None] - np.arange(samples))
    return np.maximum(0, 1 - distance).astype(np.float32)
