"""Reader and writer of COCO keypoint json.

The format: `images`, `annotations`, `categories`; a keypoint is x, y, visibility with the centre of the first pixel at
(0, 0); a mask is a list of polygons, or run lengths, compressed or not (cocodataset.org/#format-data). In addition to
COCO's keys an annotation may have `visibility_source`, `occluder` and `gt_occluder` (one number per joint) and
OCHuman's `max_iou`, and an image CrowdPose's `crowdIndex`.
"""

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int8

from dag.annotation import PersonAnnotation, Source, Visibility
from dag.convert.segmentation import compressed_rle
from dag.convert.validation import Fault, annotation_reasons, image_reasons, is_non_negative_int
from dag.errors import UserError
from dag.files import read_json, whole_file
from dag.image import ImageRecord
from dag.skeleton import Skeleton
from dag.stage import progress


def read_coco(
    annotations_path: str | Path,
    *,
    dataset: str,
    split: str,
    skeleton: Skeleton,
    image_folder: str,
    source: Source = Source.ANNOTATED,
) -> tuple[list[PersonAnnotation], list[Fault]]:
    """Read the valid annotations, in the file's order, and the faults of the others.

    Instances without keypoints (also those without the key `keypoints`) and crowd regions are kept. Unlabelled joints
    are set to (0, 0). Images are not opened: see `dag.convert.validation.validate_images`.

    Args:
        image_folder: folder of the images, relative to the data root; precedes every `file_name`.
        source: source of the visibility of annotations without `visibility_source`.

    Raises:
        UserError: not json, a list missing or empty, no category with the skeleton's joints, or a file name that leaves
            the data root.
    """
    content = read_lists(annotations_path)
    return parse_annotations(
        content, str(annotations_path), dataset=dataset, split=split, skeleton=skeleton, image_folder=image_folder,
        source=source,
    )  # fmt: skip


def parse_annotations(
    content: dict[str, list[dict[str, Any]]],
    where: str,
    *,
    dataset: str,
    split: str,
    skeleton: Skeleton,
    image_folder: str,
    source: Source,
) -> tuple[list[PersonAnnotation], list[Fault]]:
    """As `read_coco`, for content that was read before; `where` is its file, for error messages."""
    categories = _person_categories(content["categories"], skeleton, where)
    images, faults = _index_images(content["images"], image_folder, where)
    persons: list[PersonAnnotation] = []
    seen: set[int] = set()
    for entry in progress(content["annotations"], f"{dataset} {split}"):
        annotation = {"keypoints": [0] * 3 * len(skeleton), **entry}
        reasons = _reference_reasons(annotation, seen, images, categories)
        image = None if reasons else images[annotation["image_id"]]
        if image is not None:
            reasons, segmentation = _check(annotation, image, skeleton)
            if not reasons:
                seen.add(annotation["id"])
                persons.append(_person(annotation, image, source, dataset, split, segmentation))
        faults += [Fault(where, f"annotation {annotation.get('id')}", reason) for reason in reasons]
    return persons, faults


def image_records(images: list[dict[str, Any]], where: str, *, split: str, image_folder: str) -> list[ImageRecord]:
    """Image records of the valid entries of a COCO json's `images`."""
    index, _ = _index_images(images, image_folder, where)
    return [ImageRecord(split, number, image["image_path"]) for number, image in index.items() if image]


def coco_dict(persons: Sequence[PersonAnnotation], skeleton: Skeleton) -> dict[str, Any]:
    """Annotations as COCO content for any tool; `file_name` is relative to the data root, masks are compressed RLE.

    Visibility 3 is written as 3: evaluators only test whether it is above 0.

    Raises:
        UserError: two images with one image id.
    """
    images: dict[int, dict[str, Any]] = {}
    for person in persons:
        image = images.setdefault(person.image_id, _image_entry(person))
        if image["file_name"] != person.image_path:
            raise UserError(
                "two images with one id",
                where=f"image {person.image_id}",
                expected=image["file_name"],
                got=person.image_path,
                do="write each split to a file of its own",
            )
    category = {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(skeleton.joints),
        "skeleton": (skeleton.bone_index + 1).tolist(),
    }
    annotations = [_annotation_entry(person) for person in persons]
    return {"images": list(images.values()), "annotations": annotations, "categories": [category]}


def write_coco(path: str | Path, persons: Sequence[PersonAnnotation], skeleton: Skeleton) -> None:
    """Write `coco_dict` as json, atomically."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(coco_dict(persons, skeleton), allow_nan=False))


def read_lists(path: str | Path) -> dict[str, list[dict[str, Any]]]:
    """Read the lists `images`, `annotations` and `categories` of a COCO json.

    Raises:
        UserError: not json, or a list missing or empty.
    """
    content = read_json(path)
    keys = ("images", "annotations", "categories")
    for key in keys:
        entries = content.get(key) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise UserError(f"no list of {key}", where=path, expected="COCO json: images, annotations, categories")
        if not entries:
            raise UserError("empty data set", where=path, expected=f"at least one entry in {key}", got=0)
    return {key: content[key] for key in keys}


def read_images(path: str | Path) -> list[dict[str, Any]]:
    """Read the list `images` of a COCO json, which need not have annotations (`image_info_test-dev2017.json`).

    Raises:
        UserError: not json, or no such list.
    """
    content = read_json(path)
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, list) or not all(isinstance(image, dict) for image in images):
        raise UserError("no list of images", where=path, expected="COCO json: images")
    return images


def _person_categories(categories: list[dict[str, Any]], skeleton: Skeleton, where: str) -> set[int]:
    """Ids of the categories that have the skeleton's joints."""
    matching = [category for category in categories if category.get("keypoints") == list(skeleton.joints)]
    ids = {category["id"] for category in matching if is_non_negative_int(category.get("id"))}
    if not ids:
        got = [category.get("keypoints", category.get("name")) for category in categories]
        raise UserError("no category with the skeleton's joints", where=where, expected=list(skeleton.joints), got=got)
    return ids


def _index_images(
    images: list[dict[str, Any]], folder: str, where: str
) -> tuple[dict[int, dict[str, Any] | None], list[Fault]]:
    """Image entries by id, with `image_path` added; None for entries with a fault. And the faults."""
    index: dict[int, dict[str, Any] | None] = {}
    faults = []
    counts = Counter(repr(image.get("id")) for image in images)
    for image in images:
        image_id: Any = image.get("id")
        reasons = list(image_reasons(image))
        if not is_non_negative_int(image_id):
            reasons.append(f"bad image id: expected a whole number from 0 on, got {image_id!r}")
        elif image_id in index:
            reasons.append(f"duplicate image id: expected one image, got {counts[repr(image_id)]}")
        faults += [Fault(where, f"image {image_id}", reason) for reason in reasons]
        if is_non_negative_int(image_id):
            index[image_id] = (
                None
                if reasons
                else {**image, "image_path": _image_path(folder, image["file_name"], f"{where}: image {image_id}")}
            )
    return index, faults


def _image_path(folder: str, file_name: str, where: str) -> str:
    path = os.path.normpath(os.path.join(folder, file_name))
    if os.path.isabs(path) or path.split(os.sep)[0] == "..":
        raise UserError("file name leaves the data root", where=where, expected="a path below it", got=repr(file_name))
    return path


def _reference_reasons(
    annotation: dict[str, Any], seen: set[int], images: dict[int, dict[str, Any] | None], categories: set[int]
) -> list[str]:
    """Faults in an annotation's ids."""
    person_id, image_id, category = (annotation.get(key) for key in ("id", "image_id", "category_id"))
    reasons = []
    if not is_non_negative_int(person_id):
        reasons.append(f"bad annotation id: expected a whole number from 0 on, got {person_id!r}")
    elif person_id in seen:
        reasons.append("duplicate annotation id: expected one annotation, got another")
    if not is_non_negative_int(image_id) or image_id not in images:
        reasons.append(f"unknown image: expected the id of an entry in images, got {image_id!r}")
    if not is_non_negative_int(category) or category not in categories:
        reasons.append(f"unknown category: expected {' or '.join(map(str, categories))}, got {category!r}")
    return reasons


def _check(annotation: dict[str, Any], image: dict[str, Any], skeleton: Skeleton) -> tuple[list[str], str | None]:
    """Faults in an annotation's values, and its mask as compressed RLE."""
    reasons = list(annotation_reasons(annotation, image["width"], image["height"], len(skeleton)))
    try:
        return reasons, compressed_rle(annotation.get("segmentation"), image["width"], image["height"])
    except ValueError as error:
        return [*reasons, f"bad segmentation: {error}"], None


def _person(
    annotation: dict[str, Any],
    image: dict[str, Any],
    source: Source,
    dataset: str,
    split: str,
    segmentation: str | None,
) -> PersonAnnotation:
    joints = np.array(annotation["keypoints"], dtype=np.float64).reshape(-1, 3)
    visibility = joints[:, 2].astype(np.int8)
    labelled = visibility > 0
    sources = np.where(visibility == Visibility.RELABELLED, Source.RELABELLED, source) * labelled
    crowd_index = image.get("crowdIndex")
    return PersonAnnotation(
        dataset=dataset,
        split=split,
        image_id=image["id"],
        image_path=image["image_path"],
        image_width=image["width"],
        image_height=image["height"],
        person_id=annotation["id"],
        bbox_xywh=np.array(annotation["bbox"], dtype=np.float64),
        area=float(annotation["area"]),
        is_crowd=bool(annotation.get("iscrowd", 0)),
        keypoints_xy=np.where(labelled[:, None], joints[:, :2], 0.0),
        visibility=visibility,
        visibility_source=_codes(annotation.get("visibility_source", sources)),
        occluder=_codes(annotation.get("occluder", np.zeros(len(joints)))),
        segmentation=segmentation,
        crowd_index=None if crowd_index is None else float(crowd_index),
        max_iou=float(annotation["max_iou"]) if "max_iou" in annotation else None,
        gt_occluder=_codes(annotation["gt_occluder"]) if "gt_occluder" in annotation else None,
    )


def _codes(codes: Any) -> Int8[np.ndarray, " J"]:
    return np.asarray(codes).astype(np.int8)


def _image_entry(person: PersonAnnotation) -> dict[str, Any]:
    entry = {
        "id": person.image_id,
        "file_name": person.image_path,
        "width": person.image_width,
        "height": person.image_height,
    }
    return entry if person.crowd_index is None else {**entry, "crowdIndex": person.crowd_index}


def _annotation_entry(person: PersonAnnotation) -> dict[str, Any]:
    size = [person.image_height, person.image_width]
    entry = {
        "id": person.person_id,
        "image_id": person.image_id,
        "category_id": 1,
        "iscrowd": int(person.is_crowd),
        "area": person.area,
        "bbox": person.bbox_xywh.tolist(),
        "keypoints": np.column_stack([person.keypoints_xy, person.visibility]).ravel().tolist(),
        "num_keypoints": person.num_keypoints,
        "segmentation": [] if person.segmentation is None else {"size": size, "counts": person.segmentation},
        "visibility_source": person.visibility_source.tolist(),
        "occluder": person.occluder.tolist(),
    }
    return entry if person.gt_occluder is None else {**entry, "gt_occluder": person.gt_occluder.tolist()}
