"""Stage `convert` for OCHuman: its own json, or its COCO form, to validated annotations."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask

from dag.annotation import Occluder, Source, Visibility
from dag.convert.coco import parse_annotations
from dag.convert.convert import Lists, Split, convert_coco, write_dataset
from dag.errors import UserError
from dag.files import read_json
from dag.params import load_params
from dag.skeleton import COCO17
from dag.stage import run

VISIBILITY = (Visibility.UNLABELLED, Visibility.VISIBLE, Visibility.OCCLUDED, Visibility.OCCLUDED)
OCCLUDER = (Occluder.UNKNOWN, Occluder.UNKNOWN, Occluder.SELF, Occluder.PERSON)
"""Of the file's flags (`keypoint_visible`): 0 missing, 1 visible, 2 self-occluded, 3 occluded by another person."""

VAL_IMAGES = 2500
"""Number of images in val, the first ones with joints and masks; the others are test (OCHumanApi, ochuman.py)."""

MAX_PERSONS = 100
"""Upper bound of persons per image. A person id is the image id times this, plus the person's index in the image."""


def convert(root: Path, annotations: Path, out: Path, images: Path, report: Path, check_images: bool = True) -> None:
    """Validate the annotations in ANNOTATIONS (ochuman.json, or a folder of COCO-form files) and write them."""
    params = load_params()
    options: dict[str, Any] = {
        "root": root, "invalid_annotations": params.convert.invalid_annotations, "workers": params.engine.workers,
        "check_images": check_images, "out": out, "images": images, "report": report,
    }  # fmt: skip
    if annotations.is_file():
        persons, faults = [], []
        for split, content in _native(read_json(annotations), annotations).items():
            split_persons, split_faults = parse_annotations(
                content, str(annotations), dataset="ochuman", split=split, skeleton=COCO17, image_folder="images",
                source=Source.ANNOTATED,
            )  # fmt: skip
            persons, faults = persons + split_persons, faults + split_faults
        write_dataset(persons, faults, {}, COCO17, **options)
        return
    files = ["ochuman_coco_format_{}_range_0.00_1.00.json", "{}_ochuman.json"]
    splits = [Split(split, annotations / name.format(split), "images") for split in ("val", "test") for name in files]
    convert_coco(
        splits=[split for split in splits if split.annotations.exists()] or splits,
        dataset="ochuman", skeleton=COCO17, source=Source.ANNOTATED, repair=_renumbered, **options,
    )  # fmt: skip


def _renumbered(content: Lists, split: Split) -> tuple[Lists, dict[str, Any]]:
    """Replace ids by those of the file names: the ids of both files start at 1."""
    numbers = {image.get("id"): _number(image.get("file_name")) for image in content["images"]}
    images = [{**image, "id": numbers[image.get("id")]} for image in content["images"]]
    seen: dict[Any, int] = {}
    persons = []
    for person in content["annotations"]:
        number = numbers.get(person.get("image_id"), person.get("image_id"))
        seen[number] = seen.get(number, 0) + 1
        person_id = MAX_PERSONS * number + seen[number] - 1 if isinstance(number, int) else person.get("id")
        persons.append({**person, "image_id": number, "id": person_id})
    return {**content, "images": images, "annotations": persons}, {"ids_from_file_names": len(persons)}


def _number(name: Any) -> Any:
    stem = Path(str(name)).stem
    return int(stem) if stem.isdigit() else name


def _native(content: Any, where: Path) -> dict[str, Lists]:
    """COCO lists of each split of ochuman.json."""
    keys = ("images", "keypoint_names")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in keys):
        raise UserError("not OCHuman's json", where=where, expected=f"the lists {' and '.join(keys)}")
    missing = [joint for joint in COCO17.joints if joint not in content["keypoint_names"]]
    if missing:
        raise UserError("missing joints", where=where, expected=list(COCO17.joints), got=content["keypoint_names"])
    order = [content["keypoint_names"].index(joint) for joint in COCO17.joints]
    complete = [
        image for image in content["images"] if any(p["keypoints"] and p["segms"] for p in image["annotations"])
    ]
    complete.sort(key=lambda image: _number(image["file_name"]))
    splits = {"val": complete[:VAL_IMAGES], "test": complete[VAL_IMAGES:]}
    category = {"id": 1, "name": "person", "keypoints": list(COCO17.joints)}
    return {
        split: {
            "images": [{**image, "id": _number(image["file_name"]), "annotations": []} for image in images],
            "annotations": [person for image in images for person in _persons(image, order)],
            "categories": [category],
        }
        for split, images in splits.items()
        if images
    }


def _persons(image: dict[str, Any], order: list[int]) -> Iterator[dict[str, Any]]:
    for index, person in enumerate(image["annotations"]):
        left, top, right, bottom = person["bbox"]
        entry = {
            "id": MAX_PERSONS * _number(image["file_name"]) + index,
            "image_id": _number(image["file_name"]),
            "category_id": 1,
            "bbox": [left, top, right - left, bottom - top],
            "area": (right - left) * (bottom - top),
            "max_iou": person["max_iou"],
            "segmentation": _segmentation(person["segms"]),
        }
        if person["keypoints"]:
            x, y, flags = np.array(person["keypoints"], dtype=float).reshape(-1, 3)[order].T
            flags = flags.astype(int).clip(0, 3)
            visibility = [int(VISIBILITY[flag]) for flag in flags]
            entry["keypoints"] = [value for joint in zip(x.tolist(), y.tolist(), visibility) for value in joint]
            entry["occluder"] = [int(OCCLUDER[flag]) for flag in flags]
        yield entry


def _segmentation(segments: dict[str, Any] | None) -> Any:
    """Outer polygons minus inner polygons."""
    if not segments or not segments["outer"]:
        return []
    height, width = segments["height"], segments["width"]
    rle: Any = pycocotools.mask.merge(pycocotools.mask.frPyObjects(segments["outer"], height, width))
    if segments["inner"]:
        inner: Any = pycocotools.mask.merge(pycocotools.mask.frPyObjects(segments["inner"], height, width))
        mask = pycocotools.mask.decode(rle) & ~pycocotools.mask.decode(inner).astype(bool)
        rle = pycocotools.mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [height, width], "counts": rle["counts"].decode()}


if __name__ == "__main__":
    run(convert)
