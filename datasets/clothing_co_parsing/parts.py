"""Stage `parts` for Clothing Co-Parsing: images and .mat maps to one table of label maps."""

import zlib
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from dag.errors import UserError
from dag.params import load_params
from dag.parsing.convert import Source, convert_label_maps, split_by_name
from dag.parsing.labels import CLOTHING, translation
from dag.stage import run

MIN_LARGEST_COMPONENT = 0.99
"""Minimum fraction of a person's pixels in the largest connected component; below it, legs or arms are missing."""

MAX_ASPECT_RATIO = 0.53
"""Maximum width over height of a standing person; above it, something else was labelled as the person."""

DAMAGED = (MatReadError, ValueError, TypeError, IndexError, zlib.error)
"""Exceptions of `loadmat` on damaged files."""


def parts(root: Path, labels: Path, out: Path, report: Path) -> None:
    """Write the label maps LABELS/*.mat of the images ROOT/photos; the label names are in ROOT/label_list.mat."""
    try:
        listed = loadmat(root / "label_list.mat")["label_list"][0]
    except (OSError, KeyError, *DAMAGED) as error:
        raise UserError(
            "no list of labels", where=root / "label_list.mat", got=error, do="fetch the file again"
        ) from None
    files = {path.stem: path for path in labels.glob("*.mat")}
    if not files:
        raise UserError("no label maps", where=labels, expected="*.mat", got="none")
    names = ("background", *(str(name[0]) for name in listed[1:]))
    splits, worn = split_by_name(list(files)), translation(names, CLOTHING)
    convert_label_maps(
        root,
        [Source(splits[name], f"photos/{name}.jpg", files[name]) for name in sorted(files)],
        read_labels,
        dataset="clothing_co_parsing",
        labels=names,
        complete=lambda label_map: why_incomplete(worn[label_map] > 0),
        invalid_annotations=load_params().convert.invalid_annotations,
        out=out,
        report=report,
    )


def read_labels(path: Path) -> UInt8[np.ndarray, "H W"]:
    """Read the array `groundtruth` of a .mat file."""
    try:
        values = loadmat(path)["groundtruth"]
        labels = values.astype(np.uint8)
    except (*DAMAGED, AttributeError) as error:
        raise ValueError(str(error)) from None
    if not np.array_equal(labels, values):
        raise ValueError("numbers that are no labels")
    return labels


def why_incomplete(person: Bool[np.ndarray, "H W"]) -> str | None:
    """Why a mask without bags is not a complete person; None if it may be one."""
    areas = cv2.connectedComponentsWithStats(person.astype(np.uint8), connectivity=8)[2][1:]
    if not len(areas):
        return "no person"
    fraction = areas[:, cv2.CC_STAT_AREA].max() / areas[:, cv2.CC_STAT_AREA].sum()
    if fraction < MIN_LARGEST_COMPONENT:
        return f"fragmented: {fraction:.3f} of the mask in the largest component"
    width, height = areas[areas[:, cv2.CC_STAT_AREA].argmax(), 2:4]
    return f"too wide: {width / height:.2f} of its height" if width > MAX_ASPECT_RATIO * height else None


if __name__ == "__main__":
    run(parts)
