"""Conversion of a data set's official label maps to one validated table, with a report."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from dag.convert.validation import Fault, stop_on_faults
from dag.errors import UserError
from dag.files import write_json
from dag.image import file_hash
from dag.parsing.label_maps import LabelMap, encode_labels, write_label_maps
from dag.stage import progress


@dataclass(frozen=True)
class Source:
    """An image and the file of its label map.

    Attributes:
        split: "train" or "val".
        image_path: image file, relative to the root.
        labels: file of the label map.
    """

    split: str
    image_path: str
    labels: Path


def convert_label_maps(
    root: Path,
    sources: Sequence[Source],
    read: Callable[[Path], UInt8[np.ndarray, "H W"]],
    *,
    dataset: str,
    labels: tuple[str, ...],
    complete: Callable[[UInt8[np.ndarray, "H W"]], str | None],
    invalid_annotations: Literal["stop", "drop"],
    out: Path,
    report: Path,
) -> None:
    """Validate label maps against their images and label set; write the valid ones and a report.

    Args:
        root: folder of the images.
        sources: images and label files, in the order of the table.
        read: reads a file of labels; raises OSError or ValueError if it cannot.
        dataset: key of `parts` in params.yaml.
        labels: names of the labels; the first is the background.
        complete: returns the reason to exclude a valid but incomplete map, listed in the report, or None.
        invalid_annotations: "stop" raises if there are faults; "drop" excludes these images and lists them in the
            report.
        out: table of label maps.
        report: json with images per split, incomplete maps and faults.

    Raises:
        UserError: there is no valid map, or (with "stop") there is a fault. Nothing is written.
    """
    label_maps: list[LabelMap] = []
    faults: list[Fault] = []
    incomplete: dict[str, str] = {}
    for source in progress(sources, f"{dataset} label maps"):
        checked = _checked(root, source, read, labels)
        if isinstance(checked, str):
            faults.append(Fault(str(source.labels), source.image_path, checked))
        elif reason := complete(checked):
            incomplete[source.image_path] = reason
        else:
            image_hash = file_hash(root / source.image_path)
            label_maps.append(LabelMap(source.split, source.image_path, image_hash, encode_labels(checked)))
    if invalid_annotations == "stop":
        stop_on_faults(faults)
    if not label_maps:
        raise UserError("no label maps", where=root, expected="at least one valid map", got=f"{len(faults)} faults")
    write_label_maps(out, label_maps, dataset=dataset, labels=labels)
    images = dict(Counter(label_map.split for label_map in label_maps))
    dropped = [asdict(fault) for fault in faults]
    write_json(report, {"images": images, "labels": len(labels), "incomplete": incomplete, "dropped": dropped})


def split_by_name(names: Sequence[str]) -> dict[str, str]:
    """Split by name for data sets without one: in sorted order, every tenth name from the first is val."""
    return {name: "train" if number % 10 else "val" for number, name in enumerate(sorted(names))}


def _checked(
    root: Path, source: Source, read: Callable[[Path], UInt8[np.ndarray, "H W"]], labels: tuple[str, ...]
) -> UInt8[np.ndarray, "H W"] | str:
    """The label map, or the reason why it is invalid."""
    try:
        label_map = read(source.labels)
    except (OSError, ValueError, KeyError, SyntaxError, Image.DecompressionBombError) as error:
        return f"unreadable label map: expected a complete file, got {' '.join(str(error).split())}"
    if label_map.ndim != 2 or not label_map.size:
        return f"unreadable label map: expected height x width, got {list(label_map.shape)}"
    if label_map.max() >= len(labels):
        return f"label outside the label set: expected numbers below {len(labels)}, got {label_map.max()}"
    try:
        with Image.open(root / source.image_path) as image:
            width, height = image.size
    except FileNotFoundError:
        return "missing image: expected an image, got none"
    except (OSError, Image.DecompressionBombError) as error:
        return f"unreadable image: expected an image file, got {' '.join(str(error).split())}"
    if label_map.shape != (height, width):
        return f"size of the label map: expected {width} x {height}, got {label_map.shape[1]} x {label_map.shape[0]}"
    return label_map
