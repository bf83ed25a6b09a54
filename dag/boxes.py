"""Bounding boxes that the model is applied to: those of annotated persons, or a detector's."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from dag.annotation import PersonAnnotation
from dag.errors import UserError
from dag.files import read_json
from dag.geometry import crop_from_box
from dag.image import ImageRecord


@dataclass(frozen=True, eq=False)
class Box:
    """Bounding box of a person on an image.

    Attributes:
        image_id, image_path: the image; the path is relative to the data root.
        bbox_xywh: left, top, width, height in image pixels.
        score: the detector's score; 1 for an annotated person.
        person_id: id of the annotated person; -1 for a detection.
    """

    image_id: int
    image_path: str
    bbox_xywh: Float[np.ndarray, "4"]
    score: float = 1.0
    person_id: int = -1


def evaluated_persons(persons: Sequence[PersonAnnotation]) -> list[PersonAnnotation]:
    """Persons that are predicted from ground-truth boxes and evaluated (HRNet, TEST.USE_GT_BBOX)."""
    return [person for person in persons if person.is_evaluated]


def boxes_of(persons: Sequence[PersonAnnotation]) -> list[Box]:
    """Ground-truth boxes of annotated persons."""
    return [Box(p.image_id, p.image_path, p.bbox_xywh, person_id=p.person_id) for p in persons]


def crop_areas(boxes: Sequence[Box], input_wh: tuple[int, int]) -> Float[np.ndarray, " n"]:
    """Area of each box's crop in square image pixels: the scale of OKS in NMS (HRNet, lib/dataset/coco.py)."""
    return np.array([crop_from_box(box.bbox_xywh, input_wh)[1].prod() for box in boxes], dtype=np.float64)


def read_detections(path: str | Path, images: Sequence[ImageRecord], category_id: int = 1) -> list[Box]:
    """Read a detector's boxes in COCO's results format: a list of `image_id`, `category_id`, `bbox`, `score`.

    Detections of other categories and on images that are not in `images` are ignored.

    Raises:
        UserError: not a list, an invalid entry, or no detection on any of the images.
    """
    entries = read_json(path)
    if not isinstance(entries, list):
        raise UserError("not a list of detections", where=path, expected="a list", got=type(entries).__name__)
    paths = {image.image_id: image.image_path for image in images}
    boxes = []
    for number, entry in enumerate(entries):
        _check(entry, f"{path}, detection {number}")
        if entry["category_id"] == category_id and entry["image_id"] in paths:
            bbox_xywh = np.array(entry["bbox"], dtype=np.float64)
            boxes.append(Box(entry["image_id"], paths[entry["image_id"]], bbox_xywh, float(entry["score"])))
    if not boxes:
        expected, got = f"detections on {len(paths)} images", f"{len(entries)} of other images or categories"
        raise UserError("no detections on these images", where=path, expected=expected, got=got)
    return boxes


def _check(entry: Any, where: str) -> None:
    keys = ("image_id", "category_id", "bbox", "score")
    if not isinstance(entry, dict) or any(key not in entry for key in keys):
        got = sorted(entry) if isinstance(entry, dict) else type(entry).__name__
        raise UserError("not a detection", where=where, expected=", ".join(keys), got=got)
    bbox, score = entry["bbox"], entry["score"]
    numbers = [*bbox, score] if isinstance(bbox, list) else [None]
    finite = all(isinstance(value, int | float) and np.isfinite(value) for value in numbers)
    if not finite or len(numbers) != 5 or bbox[2] <= 0 or bbox[3] <= 0:
        expected = "left, top, width, height above 0, and a finite score"
        raise UserError("not a detection", where=where, expected=expected, got=f"{bbox}, {score}")
