"""Part maps in the frame of the image, and their overlap."""

import numpy as np

from dag.masks import PartMap
from tests.standing import HEIGHT, WIDTH


def in_image(part_map: PartMap, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """The part map, zero outside its window."""
    full = np.zeros(shape, dtype=np.uint8)
    height, width = part_map.parts.shape
    full[part_map.top : part_map.top + height, part_map.left : part_map.left + width] = part_map.parts
    return full


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()
