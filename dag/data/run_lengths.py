"""COCO masks: polygons and run lengths to one compressed run."""

from typing import Any

import pycocotools.mask

from dag.data.validate import is_finite, is_whole


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
    """Run lengths of a compressed string: six bits a character, the fourth on is a difference to the last but one.

    As `rleFrString` (cocoapi, common/maskApi.c), which does not notice strings that are cut short.
    """
    counts: list[int] = []
    value = shift = 0
    for byte in text.encode():
        value |= (byte - 48 & 31) << shift
        shift += 5
        if not byte - 48 & 32:
            signed = value - (1 << shift) if byte - 48 & 16 else value
            counts.append(signed + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    return counts if shift == 0 else []
