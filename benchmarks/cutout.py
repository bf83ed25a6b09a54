"""Time of cutting a person out of an image by annotated masks, against the same operations at the image's size.

    python benchmarks/cutout.py FOLDER/annotations/person_keypoints_train2017.json FOLDER/train2017

One thread, images already decoded. For every person at least 60 pixels high with at least 8 visible joints: the mask
without the pixels of neighbours, the quality, soft edges, and the RGBA rectangle. The peer is the usual implementation:
every mask is decoded, and everything except for the last step, the crop to the rectangle, is computed at the image's
size, alpha in floating point.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import pycocotools.mask
import typer

from dag import masks
from dag.annotation import PersonAnnotation, Visibility
from dag.convert.coco import read_coco
from dag.image import read_image
from dag.masks import PartMap, mask_rle
from dag.parsing.mask_parser import MaskParser
from dag.pool.build import by_image, cut_out
from dag.pool.pool import Cutout
from dag.pool.quality import Quality, measured_quality
from dag.skeleton import COCO17

ROUNDS = 5


def ours(image: np.ndarray, persons: list[PersonAnnotation], target: int) -> tuple[Quality, Cutout]:
    [parsed] = MaskParser().parse(image, persons, [target])
    return measured_quality(persons[target], parsed, COCO17), cut_out(image, persons[target], parsed)


def naive(image: np.ndarray, persons: list[PersonAnnotation], target: int) -> tuple[Quality, np.ndarray]:
    """Quality, and RGBA of the cut-out's rectangle, computed at the image's size."""
    decoded = [whole_mask(person) for person in persons]
    others = np.any([mask for number, mask in enumerate(decoded) if number != target], axis=0)
    own = decoded[target] & ~others
    ambiguous = float((decoded[target] & others).sum() / decoded[target].sum())
    quality = measured_quality(persons[target], PartMap(0, 0, own.astype(np.uint8), ambiguous), COCO17)
    eroded = cv2.erode(own.astype(np.float32), np.ones((3, 3)), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    alpha = cv2.GaussianBlur(eroded, (3, 3), 0, borderType=cv2.BORDER_CONSTANT)
    colour = image.astype(np.float32) * (alpha[..., None] > 0)
    rgba = np.dstack([colour, alpha * 255]).round().astype(np.uint8)
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    return quality, rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def is_candidate(person: PersonAnnotation) -> bool:
    """Whether the default limits of the pool do not reject a person by its annotation."""
    return (
        not person.is_crowd and person.bbox_xywh[3] >= 60 and int((person.visibility == Visibility.VISIBLE).sum()) >= 8
    )


def whole_mask(person: PersonAnnotation) -> np.ndarray:
    return pycocotools.mask.decode(mask_rle(person)).astype(bool)


def seconds(
    step: Callable[..., Any], image: np.ndarray, persons: list[PersonAnnotation], targets: list[int]
) -> list[float]:
    """Mean time of each target of an image, whose masks are not yet decoded, as in stage `pool`."""
    spent = np.zeros(len(targets))
    for _ in range(ROUNDS):
        masks._decoded.cache_clear()
        for number, target in enumerate(targets):
            started = time.perf_counter()
            step(image, persons, target)
            spent[number] += time.perf_counter() - started
    return (spent / ROUNDS).tolist()


def main(
    annotations: Annotated[Path, typer.Argument(help="COCO keypoints json.")],
    images: Annotated[Path, typer.Argument(help="Folder of its images.")],
) -> None:
    cv2.setNumThreads(1)
    all_persons, _ = read_coco(annotations, dataset="coco", split="train", skeleton=COCO17, image_folder=".")
    times: dict[str, list[float]] = {"ours": [], "naive": []}
    sizes = []
    for persons in by_image([person for person in all_persons if person.segmentation]):
        image = read_image(images, persons[0].image_path)
        targets = [number for number, person in enumerate(persons) if is_candidate(person)]
        for target in targets:
            (quality, cutout), (expected, rgba) = ours(image, persons, target), naive(image, persons, target)
            assert np.abs(cutout.rgba.astype(int) - rgba)[rgba[..., 3] > 0].max() <= 1
            assert quality == expected
            sizes.append(image.shape[:2])
        for name, step in (("ours", ours), ("naive", naive)):
            times[name] += seconds(step, image, persons, targets)
    height, width = np.median(sizes, axis=0).astype(int)
    print(f"{len(sizes)} persons, images of {width} x {height} (median)\n")
    print("| implementation | mean ms | median ms |\n|---|---|---|")
    for name, values in times.items():
        print(f"| {name} | {1000 * np.mean(values):.2f} | {1000 * np.median(values):.2f} |")
    ratios = np.array(times["naive"]) / times["ours"]
    whole = np.sum(times["naive"]) / np.sum(times["ours"])
    print(f"\nspeed-up: {whole:.1f} of the total time, {np.median(ratios):.1f} of the median person")


if __name__ == "__main__":
    typer.run(main)
