"""Stage `convert` for OCHuman: its own json, or its COCO form, to validated person rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask

from dag.annotation import Occluder, Source, Visibility
from dag.convert.coco import persons_of
from dag.convert.convert import Lists, Split, convert_coco, write_rows
from dag.errors import UserError
from dag.files import read_json
from dag.params import load_params
from dag.skeleton import COCO17
from dag.stage import run

# keypoint_visible of the file: 0 missing, 1 visible, 2 occluded by the person itself, 3 occluded by somebody else.
VISIBILITY = (Visibility.UNLABELLED, Visibility.VISIBLE, Visibility.OCCLUDED, Visibility.OCCLUDED)
OCCLUDER = (Occluder.UNKNOWN, Occluder.UNKNOWN, Occluder.SELF, Occluder.PERSON)

VAL_IMAGES = 2500
"""The first so many images with joints and masks are val, the others test (OCHumanApi, ochuman.py)."""

PEOPLE = 100
"""More than there are people in an image: ids are image id times this, plus the place in the image."""


def convert(root: Path, annotations: Path, out: Path, images: Path, report: Path, check_images: bool = True) -> None:
    """Check the people of ANNOTATIONS, ochuman.json or a folder of COCO-form files, and write them as rows."""
    params = load_params()
    options: dict[str, Any] = {
        "root": root, "invalid_annotations": params.convert.invalid_annotations, "workers": params.engine.workers, "check_images": check_images,
        "out": out, "images": images, "report": report,
    }  # fmt: skip
    if annotations.is_file():
        rows, faults = [], []
        for split, content in _native(read_json(annotations), annotations).items():
            found = persons_of(
                content, str(annotations), dataset="ochuman", split=split, skeleton=COCO17, image_folder="images",
                source=Source.ANNOTATED,
            )  # fmt: skip
            rows, faults = rows + found[0], faults + found[1]
        write_rows(rows, faults, {}, COCO17, **options)
        return
    files = ["ochuman_coco_format_{}_range_0.00_1.00.json", "{}_ochuman.json"]
    splits = [Split(split, annotations / name.format(split), "images") for split in ("val", "test") for name in files]
    convert_coco(
        splits=[split for split in splits if split.annotations.exists()] or splits,
        dataset="ochuman", skeleton=COCO17, source=Source.ANNOTATED, repair=_renumbered, **options,
    )  # fmt: skip


def _renumbered(content: Lists, split: Split) -> tuple[Lists, dict[str, Any]]:
    """Both files number from 1; the images' names are numbers of their own."""
    numbers = {image.get("id"): _number(image.get("file_name")) for image in content["images"]}
    images = [{**image, "id": numbers[image.get("id")]} for image in content["images"]]
    seen: dict[Any, int] = {}
    people = []
    for person in content["annotations"]:
        number = numbers.get(person.get("image_id"), person.get("image_id"))
        seen[number] = seen.get(number, 0) + 1
        own = PEOPLE * number + seen[number] - 1 if isinstance(number, int) else person.get("id")
        people.append({**person, "image_id": number, "id": own})
    return {**content, "images": images, "annotations": people}, {"ids by file name": len(people)}


def _number(name: Any) -> Any:
    stem = Path(str(name)).stem
    return int(stem) if stem.isdigit() else name


def _native(content: Any, where: Path) -> dict[str, Lists]:
    """The lists of a COCO json a split."""
    keys = ("images", "keypoint_names")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in keys):
        raise UserError("not OCHuman's json", where=where, expected=f"the lists {' and '.join(keys)}")
    missing = [joint for joint in COCO17.joints if joint not in content["keypoint_names"]]
    if missing:
        raise UserError("joints are missing", where=where, expected=list(COCO17.joints), got=content["keypoint_names"])
    order = [content["keypoint_names"].index(joint) for joint in COCO17.joints]
    whole = [image for image in content["images"] if any(p["keypoints"] and p["segms"] for p in image["annotations"])]
    whole.sort(key=lambda image: _number(image["file_name"]))
    parts = {"val": whole[:VAL_IMAGES], "test": whole[VAL_IMAGES:]}
    category = {"id": 1, "name": "person", "keypoints": list(COCO17.joints)}
    return {
        split: {
            "images": [{**image, "id": _number(image["file_name"]), "annotations": []} for image in images],
            "annotations": [person for image in images for person in _people(image, order)],
            "categories": [category],
        }
        for split, images in parts.items()
        if images
    }


def _people(image: dict[str, Any], order: list[int]) -> Iterator[dict[str, Any]]:
    for place, person in enumerate(image["annotations"]):
        left, top, right, bottom = person["bbox"]
        entry = {
            "id": PEOPLE * _number(image["file_name"]) + place,
            "image_id": _number(image["file_name"]),
            "category_id": 1,
            "bbox": [left, top, right - left, bottom - top],
            "area": (right - left) * (bottom - top),
            "max_iou": person["max_iou"],
            "segmentation": _segmentation(person["segms"]),
        }
        if person["keypoints"]:
            x, y, flags = np.array(person["keypoints"], dtype=float).reshape(-1, 3)[order].T
            known = flags.astype(int).clip(0, 3)
            visibility = [int(VISIBILITY[flag]) for flag in known]
            entry["keypoints"] = [value for joint in zip(x.tolist(), y.tolist(), visibility) for value in joint]
            entry["occluder"] = [int(OCCLUDER[flag]) for flag in known]
        yield entry


def _segmentation(segments: dict[str, Any] | None) -> Any:
    """Outer polygons without the inner ones."""
    if not segments or not segments["outer"]:
        return []
    height, width = segments["height"], segments["width"]
    runs: Any = pycocotools.mask.merge(pycocotools.mask.frPyObjects(segments["outer"], height, width))
    if segments["inner"]:
        inner: Any = pycocotools.mask.merge(pycocotools.mask.frPyObjects(segments["inner"], height, width))
        mask = pycocotools.mask.decode(runs) & ~pycocotools.mask.decode(inner).astype(bool)
        runs = pycocotools.mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [height, width], "counts": runs["counts"].decode()}


if __name__ == "__main__":
    run(convert)
