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
from dag.parsing.convert import Source, convert_parts, split_by_name
from dag.parsing.labels import WORN, translation
from dag.stage import run

IN_ONE_PIECE = 0.99
"""Fraction of a person's pixels in the largest connected piece; below it, legs or arms were forgotten."""

WIDEST = 0.53
"""Width over height of a person standing; above it, something else was painted."""

DAMAGED = (MatReadError, ValueError, TypeError, IndexError, zlib.error)
"""What `loadmat` raises on bytes that are not a whole file."""


def parts(root: Path, labels: Path, out: Path, report: Path) -> None:
    """Collect the maps LABELS/*.mat with the images ROOT/photos; label names come from ROOT/label_list.mat."""
    try:
        listed = loadmat(root / "label_list.mat")["label_list"][0]
    except (OSError, KeyError, *DAMAGED) as error:
        raise UserError("no list of labels", where=root / "label_list.mat", got=error, do="fetch it again") from None
    files = {path.stem: path for path in labels.glob("*.mat")}
    if not files:
        raise UserError("no label maps", where=labels, expected="*.mat", got="none")
    names = ("background", *(str(name[0]) for name in listed[1:]))
    splits, worn = split_by_name(list(files)), translation(names, WORN)
    convert_parts(
        root,
        [Source(splits[name], f"photos/{name}.jpg", files[name]) for name in sorted(files)],
        read_labels,
        dataset="clothing_co_parsing",
        labels=names,
        complete=lambda found: why_incomplete(worn[found] > 0),
        invalid_annotations=load_params().convert.invalid_annotations,
        out=out,
        report=report,
    )


def read_labels(path: Path) -> UInt8[np.ndarray, "H W"]:
    """The array `groundtruth`."""
    try:
        found = loadmat(path)["groundtruth"]
        labels = found.astype(np.uint8)
    except (*DAMAGED, AttributeError) as error:
        raise ValueError(str(error)) from None
    if not np.array_equal(labels, found):
        raise ValueError("numbers that are no labels")
    return labels


def why_incomplete(person: Bool[np.ndarray, "H W"]) -> str | None:
    """Why a mask, bags left out, is not a whole person; None where nothing speaks against it."""
    areas = cv2.connectedComponentsWithStats(person.astype(np.uint8), connectivity=8)[2][1:]
    if not len(areas):
        return "nobody"
    share = areas[:, cv2.CC_STAT_AREA].max() / areas[:, cv2.CC_STAT_AREA].sum()
    if share < IN_ONE_PIECE:
        return f"in pieces: {share:.3f} in the largest"
    width, height = areas[areas[:, cv2.CC_STAT_AREA].argmax(), 2:4]
    return f"too wide: {width / height:.2f} of its height" if width > WIDEST * height else None


if __name__ == "__main__":
    run(parts)
