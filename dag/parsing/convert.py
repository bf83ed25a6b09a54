"""Label maps of a data set's official files to one checked table, and a report of what it holds."""

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
    """One image of a data set.

    Attributes:
        split: "train" or "val".
        image_path: relative to the root.
        labels: file of its label map.
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
    """Check every map against its image and its label set; write the good ones and a report.

    Args:
        root: of the images.
        sources: in the order in which they will lie in the table.
        read: a file of labels to labels; raises OSError or ValueError where it cannot.
        dataset: key of params.yaml's `parts`.
        labels: name of each number; the first is the background.
        complete: why a map is left out although nothing is wrong with the file, or None; counted in the report.
        invalid_annotations: "stop" raises at the first fault, "drop" leaves the image out and lists it in the report.
        out: table of label maps.
        report: json: images a split, incomplete maps, faults.

    Raises:
        UserError: nothing to convert, or (with "stop") a fault. Nothing is written.
    """
    rows: list[LabelMap] = []
    faults: list[Fault] = []
    incomplete: dict[str, str] = {}
    for source in progress(sources, f"{dataset} label maps"):
        found = _checked(root, source, read, labels)
        if isinstance(found, str):
            faults.append(Fault(str(source.labels), source.image_path, found))
        elif reason := complete(found):
            incomplete[source.image_path] = reason
        else:
            digest = file_hash(root / source.image_path)
            rows.append(LabelMap(source.split, source.image_path, digest, encode_labels(found)))
    if invalid_annotations == "stop":
        stop_on_faults(faults)
    if not rows:
        raise UserError("no label maps", where=root, expected="at least one good map", got=f"{len(faults)} faults")
    write_label_maps(out, rows, dataset=dataset, labels=labels)
    images = dict(Counter(row.split for row in rows))
    dropped = [asdict(fault) for fault in faults]
    write_json(report, {"images": images, "labels": len(labels), "incomplete": incomplete, "dropped": dropped})


def split_by_name(names: Sequence[str]) -> dict[str, str]:
    """A split for sets that have none: every tenth name, in sorted order, is val, the first among them."""
    return {name: "train" if number % 10 else "val" for number, name in enumerate(sorted(names))}


def _checked(
    root: Path, source: Source, read: Callable[[Path], UInt8[np.ndarray, "H W"]], labels: tuple[str, ...]
) -> UInt8[np.ndarray, "H W"] | str:
    """The map, or what is wrong with it."""
    try:
        found = read(source.labels)
    except (OSError, ValueError, KeyError, SyntaxError, Image.DecompressionBombError) as error:
        return f"unreadable label map: expected a whole one, got {' '.join(str(error).split())}"
    if found.ndim != 2 or not found.size:
        return f"unreadable label map: expected height x width, got {list(found.shape)}"
    if found.max() >= len(labels):
        return f"label outside the set: expected numbers below {len(labels)}, got {found.max()}"
    try:
        with Image.open(root / source.image_path) as image:
            width, height = image.size
    except FileNotFoundError:
        return "missing image: expected an image, got none"
    except (OSError, Image.DecompressionBombError) as error:
        return f"unreadable image: expected a picture, got {' '.join(str(error).split())}"
    if found.shape != (height, width):
        return f"map size: expected {width} x {height}, got {found.shape[1]} x {found.shape[0]}"
    return found
