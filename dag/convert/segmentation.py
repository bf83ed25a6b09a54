"""COCO segmentations (polygons or run lengths) as compressed run lengths (RLE)."""

import re
from typing import Any

import pycocotools.mask

from dag.convert.validation import is_finite, is_non_negative_int

COMPRESSED = re.compile(r"(?:[P-o]{0,6}[0-O])+")
"""Counts of a compressed RLE: characters of 6 bits, offset by "0", up to 7 per number.

Bit 5 is set in all but the last character of a number (`rleFrString`, cocoapi, common/maskApi.c). pycocotools does not
check that the last number is complete.
"""


def compressed_rle(segmentation: Any, width: int, height: int) -> str | None:
    """Counts of the compressed RLE of a segmentation on a `width` x `height` image; None for an empty segmentation.

    Raises:
        ValueError: neither polygons nor run lengths, or another size; the text names the expected and the actual value.
    """
    if segmentation is None or segmentation == []:
        return None
    if isinstance(segmentation, dict):
        return _from_run_lengths(segmentation, width, height)
    for polygon in segmentation if isinstance(segmentation, list) else [segmentation]:
        valid = isinstance(polygon, list) and len(polygon) >= 6 and len(polygon) % 2 == 0
        if not valid or not all(map(is_finite, polygon)):
            raise ValueError(f"expected polygons of 3 or more x, y, got {str(polygon)[:60]}")
    rle: Any = pycocotools.mask.merge(pycocotools.mask.frPyObjects(segmentation, height, width))
    return rle["counts"].decode()


def _from_run_lengths(rle: dict[str, Any], width: int, height: int) -> str:
    if rle.get("size") != [height, width]:
        raise ValueError(f"expected run lengths of size {[height, width]}, got {rle.get('size')!r}")
    counts: Any = rle.get("counts")
    pixels = width * height
    if isinstance(counts, str) and COMPRESSED.fullmatch(counts):
        # pycocotools refuses runs that exceed the size, but not runs that end before it.
        if _fits(counts, pixels) and not _fits(counts, pixels - 1):
            return counts
    elif isinstance(counts, list) and all(is_non_negative_int(count) for count in counts) and sum(counts) == pixels:
        uncompressed: Any = {"size": [height, width], "counts": counts}
        return pycocotools.mask.frPyObjects(uncompressed, height, width)["counts"].decode()
    raise ValueError(f"expected run lengths that add up to {pixels}, got {str(counts)[:60]}")


def _fits(counts: str, pixels: int) -> bool:
    """Whether the runs have at most `pixels` pixels."""
    try:
        pycocotools.mask.decode({"size": [pixels, 1], "counts": counts.encode()})
    except ValueError:
        return False
    return True
