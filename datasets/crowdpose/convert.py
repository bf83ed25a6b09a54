"""Stage `convert` for CrowdPose: official files to validated person rows."""

from pathlib import Path
from typing import Any

from PIL import Image

from dag.annotation import Source
from dag.convert.convert import AREA_OF_BOX, Lists, Split, convert_coco
from dag.params import load_params
from dag.skeleton import CROWDPOSE14
from dag.stage import run


def convert(root: Path, annotations: Path, out: Path, images: Path, report: Path, check_images: bool = True) -> None:
    """Repair what is known to be wrong, check CrowdPose's people and write them as rows."""
    params = load_params()

    def repair(content: Lists, split: Split) -> tuple[Lists, dict[str, Any]]:
        corrected, swapped = _with_sizes(content, root / split.image_folder if check_images else None)
        people = [{**person, "area": _area(person)} for person in content["annotations"]]
        miscounted = sum(person.get("num_keypoints") != _labelled(person) for person in people)
        notes = {"width and height swapped": swapped, "num_keypoints counted anew": miscounted}
        return {**content, "images": corrected, "annotations": people}, notes

    convert_coco(
        root,
        [Split(split, annotations / f"crowdpose_{split}.json", "images") for split in ("train", "val", "test")],
        dataset="crowdpose",
        skeleton=CROWDPOSE14,
        source=Source.LABEL_FLAG_ONLY,
        invalid_annotations=params.convert.invalid_annotations,
        workers=params.engine.workers,
        check_images=check_images,
        out=out,
        images=images,
        report=report,
        repair=repair,
    )


def _area(person: dict[str, Any]) -> Any:
    box = person.get("bbox")
    good = isinstance(box, list) and len(box) == 4 and all(isinstance(side, int | float) for side in box)
    return AREA_OF_BOX * box[2] * box[3] if good else None  # type: ignore[index]


def _labelled(person: dict[str, Any]) -> int:
    return sum(bool(flag) for flag in person.get("keypoints", [])[2::3])


def _with_sizes(content: Lists, folder: Path | None) -> tuple[list[dict[str, Any]], list[str]]:
    """Image entries with their sizes corrected, and the names of the corrected ones.

    An image tells its size; without it, people that only fit into the turned image do.
    """
    reach: dict[Any, tuple[float, float]] = {}
    for person in content["annotations"]:
        x, y, width, height = person.get("bbox", (0, 0, 0, 0))
        old = reach.get(person.get("image_id"), (0.0, 0.0))
        reach[person.get("image_id")] = (max(old[0], x + width), max(old[1], y + height))
    corrected, swapped = [], []
    for image in content["images"]:
        width, height = image.get("width"), image.get("height")
        if _size(folder, image, reach.get(image.get("id"), (0.0, 0.0))) == (height, width) != (width, height):
            swapped.append(image["file_name"])
            width, height = height, width
        corrected.append({**image, "width": width, "height": height})
    return corrected, swapped


def _size(folder: Path | None, image: dict[str, Any], reach: tuple[float, float]) -> tuple[Any, Any]:
    width, height = image.get("width"), image.get("height")
    path = None if folder is None else folder / Path(str(image.get("file_name"))).name
    if path is not None and path.is_file():
        try:
            with Image.open(path) as picture:
                return picture.size
        except OSError:  # the check of all images says so
            return width, height
    if not isinstance(width, int) or not isinstance(height, int):
        return width, height
    fits, fits_turned = (
        all(side <= most + 1 for side, most in zip(reach, size)) for size in ((width, height), (height, width))
    )
    return (height, width) if fits_turned and not fits else (width, height)


if __name__ == "__main__":
    run(convert)
