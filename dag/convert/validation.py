"""Validation of COCO annotations and of their images; each fault is reported as one line."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from dag.annotation import Occluder, PersonAnnotation, Source
from dag.errors import UserError
from dag.files import inside
from dag.image import file_hash
from dag.stage import progress

BOX_TOLERANCE = 1.0
"""Pixels by which a box may exceed its image: tools differ by one in where the last pixel ends."""

MAX_SIDE = 2**16
"""Largest width and height of an image in pixels."""


@dataclass(frozen=True)
class Fault:
    """Fault of an annotation or an image.

    Attributes:
        file: annotation file or image file.
        id: e.g. "annotation 12" or "image 5".
        reason: the fault, the expected and the actual value.
    """

    file: str
    id: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.id}: {self.reason}"


def stop_on_faults(faults: list[Fault]) -> None:
    """Raise an error that names the first fault and the number of the others.

    Raises:
        UserError: `faults` is not empty.
    """
    if faults:
        more = {1: "", 2: "and 1 more fault; "}.get(len(faults), f"and {len(faults) - 1} more faults; ")
        raise UserError(str(faults[0]), do=f"{more}set convert.invalid_annotations: drop to leave them out")


def image_reasons(image: dict[str, Any]) -> Iterator[str]:
    """Faults of an entry of COCO's `images`."""
    for key in ("width", "height"):
        if not is_non_negative_int(image.get(key)) or not 1 <= image[key] <= MAX_SIDE:
            yield f"bad {key}: expected pixels from 1 to {MAX_SIDE}, got {image.get(key)!r}"
    if not isinstance(image.get("file_name"), str) or not image["file_name"]:
        yield f"bad file_name: expected a file name, got {image.get('file_name')!r}"
    if not is_finite(image.get("crowdIndex", 0)):
        yield f"bad crowdIndex: expected a number, got {image['crowdIndex']!r}"


def annotation_reasons(annotation: dict[str, Any], width: int, height: int, joints: int) -> Iterator[str]:
    """Faults in the values of an entry of COCO's `annotations` on a `width` x `height` image."""
    if annotation.get("iscrowd", 0) not in (0, 1):
        yield f"bad iscrowd: expected 0 or 1, got {annotation['iscrowd']!r}"
    yield from _box_reasons(annotation.get("bbox"), width, height)
    yield from _keypoint_reasons(annotation["keypoints"], joints)
    area: Any = annotation.get("area")
    if not is_finite(area) or area < 0:
        yield f"bad area: expected square pixels, got {area!r}"
    elif area == 0 and any(annotation["keypoints"]):
        yield "bad area: expected more than 0 square pixels for a person with keypoints, got 0"
    if not is_finite(annotation.get("max_iou", 0)):
        yield f"bad max_iou: expected a number, got {annotation['max_iou']!r}"
    for key, known in (("visibility_source", Source), ("occluder", Occluder), ("gt_occluder", Occluder)):
        if key in annotation:
            yield from _code_reasons(key, annotation[key], joints, len(known))


def validate_images(
    persons: list[PersonAnnotation], root: Path, workers: int
) -> tuple[dict[str, str], dict[str, Fault]]:
    """Open and hash every annotated image, with `workers` threads (0: one).

    An image must exist, have the annotated size, and decode completely.

    Returns:
        The hash of every valid image, by `image_path`; and the fault of every other image, by `image_path`.

    Raises:
        UserError: a file name leaves `root`.
    """
    images = list({person.image_path: person for person in persons}.values())
    paths = [inside(root, image.image_path) for image in images]
    widths, heights = [image.image_width for image in images], [image.image_height for image in images]
    hashes, faults = {}, {}
    with ThreadPoolExecutor(max(1, workers)) as threads:
        checked = threads.map(_hash_and_reason, paths, widths, heights)
        for image, (digest, reason) in zip(progress(images, "images"), checked):
            if reason is None:
                hashes[image.image_path] = digest
            else:
                faults[image.image_path] = Fault(str(root / image.image_path), f"image {image.image_id}", reason)
    return hashes, faults


def _hash_and_reason(path: Path, width: int, height: int) -> tuple[str, str | None]:
    """Hash of an image file, and its fault."""
    try:
        with Image.open(path) as image:
            if image.size != (width, height):
                return "", f"image size: expected {width} x {height}, got {image.size[0]} x {image.size[1]}"
            image.draft("RGB", (width // 8, height // 8))  # still reads a JPEG to its end, and much faster
            image.load()
        return file_hash(path), None
    except FileNotFoundError:
        return "", "missing image: expected a file, got none"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return "", f"unreadable image: expected a complete image, got {' '.join(str(error).split())}"


def _box_reasons(bbox: Any, width: int, height: int) -> Iterator[str]:
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(is_finite, bbox)):
        yield f"bad box: expected 4 finite numbers, got {bbox!r}"
        return
    left, top, box_width, box_height = bbox
    if box_width <= 0 or box_height <= 0:
        yield f"empty box: expected width and height above 0, got {bbox!r}"
    elif max(-left, -top, left + box_width - width, top + box_height - height) > BOX_TOLERANCE:
        yield f"box outside the image: expected inside {width} x {height}, got {bbox!r}"


def _keypoint_reasons(keypoints: Any, joints: int) -> Iterator[str]:
    if not isinstance(keypoints, list) or len(keypoints) != 3 * joints:
        got = len(keypoints) if isinstance(keypoints, list) else repr(keypoints)
        yield f"keypoint list of wrong length: expected {3 * joints}, got {got}"
    elif not all(map(is_finite, keypoints)):
        invalid = next(value for value in keypoints if not is_finite(value))
        yield f"bad keypoint: expected finite numbers, got {invalid!r}"
    elif unknown := [value for value in keypoints[2::3] if value not in (0, 1, 2, 3)]:
        yield f"unknown visibility: expected 0, 1, 2 or 3, got {unknown[0]!r}"


def _code_reasons(key: str, codes: Any, joints: int, known: int) -> Iterator[str]:
    valid = isinstance(codes, list) and len(codes) == joints
    if not valid or not all(is_non_negative_int(code) and 0 <= code < known for code in codes):
        yield f"bad {key}: expected {joints} numbers from 0 to {known - 1}, got {codes!r}"


def is_finite(value: Any) -> bool:
    """Whether `value` is a number of plausible size: not NaN, not infinite, below 1e9."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9


def is_non_negative_int(value: Any) -> bool:
    """Whether `value` is a non-negative integer that fits in a 64-bit column. Ids also seed random generators."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
