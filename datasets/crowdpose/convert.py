"""Stage `convert` for CrowdPose: official files to validated annotations."""

from pathlib import Path
from typing import Any

from PIL import Image

from dag.annotation import BOX_AREA_FRACTION, Source
from dag.convert.convert import Lists, Split, convert_coco
from dag.params import load_params
from dag.skeleton import CROWDPOSE14
from dag.stage import run


def convert(root: Path, annotations: Path, out: Path, images: Path, report: Path, check_images: bool = True) -> None:
    """Correct the known faults of CrowdPose's files, validate the annotations and write them."""
    params = load_params()

    def repair(content: Lists, split: Split) -> tuple[Lists, dict[str, Any]]:
        corrected, swapped = _with_sizes(content, root / split.image_folder if check_images else None)
        persons = [{**person, "area": _area(person)} for person in content["annotations"]]
        miscounted = sum(person.get("num_keypoints") != _labelled(person) for person in persons)
        notes = {"width_and_height_swapped": swapped, "num_keypoints_recomputed": miscounted}
        return {**content, "images": corrected, "annotations": persons}, notes

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
    valid = isinstance(box, list) and len(box) == 4 and all(isinstance(side, int | float) for side in box)
    return BOX_AREA_FRACTION * box[2] * box[3] if valid else None  # type: ignore[index]


def _labelled(person: dict[str, Any]) -> int:
    return sum(bool(flag) for flag in person.get("keypoints", [])[2::3])


def _with_sizes(content: Lists, folder: Path | None) -> tuple[list[dict[str, Any]], list[str]]:
    """Image entries with correct width and height, and the file names of the corrected ones.

    The size is read from the image file. Without the file, width and height are swapped if the persons' boxes fit only
    then.
    """
    extents: dict[Any, tuple[float, float]] = {}
    for person in content["annotations"]:
        x, y, width, height = person.get("bbox", (0, 0, 0, 0))
        extent = extents.get(person.get("image_id"), (0.0, 0.0))
        extents[person.get("image_id")] = (max(extent[0], x + width), max(extent[1], y + height))
    corrected, swapped = [], []
    for image in content["images"]:
        width, height = image.get("width"), image.get("height")
        if _size(folder, image, extents.get(image.get("id"), (0.0, 0.0))) == (height, width) != (width, height):
            swapped.append(image["file_name"])
            width, height = height, width
        corrected.append({**image, "width": width, "height": height})
    return corrected, swapped


def _size(folder: Path | None, image: dict[str, Any], extent: tuple[float, float]) -> tuple[Any, Any]:
    """Width and height of an image; `extent` is the lower right corner of the persons' boxes."""
    width, height = image.get("width"), image.get("height")
    path = None if folder is None else folder / Path(str(image.get("file_name"))).name
    if path is not None and path.is_file():
        try:
            with Image.open(path) as file:
                return file.size
        except OSError:  # reported by the validation of all images
            return width, height
    if not isinstance(width, int) or not isinstance(height, int):
        return width, height
    fits, fits_swapped = (
        all(side <= most + 1 for side, most in zip(extent, size)) for size in ((width, height), (height, width))
    )
    return (height, width) if fits_swapped and not fits else (width, height)


if __name__ == "__main__":
    run(convert)
