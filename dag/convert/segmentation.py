"""COCO masks: polygons and run lengths to one compressed run."""

from typing import Any

import numpy as np
import pycocotools.mask
from jaxtyping import Int64

from dag.convert.validation import is_finite, is_whole

# Of compressed strings: the character for 0, the bit that says that more follow, and the most that follow one another
# (35 bits hold the pixels of any image).
FIRST, MORE, MAX_CHARACTERS = 48, 32, 7


def run_lengths(segmentation: Any, width: int, height: int) -> str | None:
    """Polygons or run lengths as one compressed run; None where there is no mask.

    Raises:
        ValueError: neither, or of another size; the text says what was expected and found.
    """
    if segmentation is None or segmentation == []:
        return None
    if isinstance(segmentation, dict):
        return _compressed(segmentation, width, height)
    for polygon in segmentation if isinstance(segmentation, list) else [segmentation]:
        good = isinstance(polygon, list) and len(polygon) >= 6 and len(polygon) % 2 == 0
        if not good or not all(map(is_finite, polygon)):
            raise ValueError(f"expected polygons of 3 or more x, y, got {str(polygon)[:60]}")
    runs: Any = pycocotools.mask.merge(pycocotools.mask.frPyObjects(segmentation, height, width))
    return runs["counts"].decode()


def _compressed(runs: dict[str, Any], width: int, height: int) -> str:
    if runs.get("size") != [height, width]:
        raise ValueError(f"expected run lengths of size {[height, width]}, got {runs.get('size')!r}")
    counts: Any = runs.get("counts")
    numbers: Any = _counts_of(counts) if isinstance(counts, str) and counts.isascii() else counts
    good = isinstance(numbers, list) and all(is_whole(count) and count >= 0 for count in numbers)
    if not good or sum(numbers) != width * height:
        raise ValueError(f"expected run lengths that add up to {width * height}, got {str(counts)[:60]}")
    if isinstance(counts, str):
        return counts
    uncompressed: Any = {"size": [height, width], "counts": counts}
    return pycocotools.mask.frPyObjects(uncompressed, height, width)["counts"].decode()


def _counts_of(text: str) -> list[int]:
    """Run lengths of a compressed string; none of one that is cut short, which pycocotools does not notice."""
    characters = np.frombuffer(text.encode(), dtype=np.uint8) - FIRST
    ends = np.flatnonzero(characters < MORE)
    whole = len(ends) and ends[-1] == len(characters) - 1 and (characters < 2 * MORE).all()
    if not whole or np.diff(ends, prepend=-1).max() > MAX_CHARACTERS:
        return []
    return decode_counts(text).tolist()


def decode_counts(text: str) -> Int64[np.ndarray, " R"]:
    """Lengths of the runs outside and inside a mask, in turns, of a compressed string.

    Six bits a character: five of the number, lowest first, and one that says whether more follow; the last character's
    highest bit is the sign. From the fourth number on it is a difference to the last but one. As `rleFrString`
    (cocoapi, common/maskApi.c).
    """
    characters = np.frombuffer(text.encode(), dtype=np.uint8) - FIRST
    ends = np.flatnonzero(characters < MORE)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends + 1 - starts
    place = np.arange(len(characters)) - np.repeat(starts, lengths)
    counts = np.add.reduceat((characters & 31).astype(np.int64) << 5 * place, starts)
    counts -= (characters[ends] >> 4 & 1).astype(np.int64) << 5 * lengths
    counts[1::2] = counts[1::2].cumsum()
    counts[2::2] = counts[2::2].cumsum()
    return counts
