"""Milliseconds that it takes to cut a person out of an image by annotated masks, beside the same at full size.

    python benchmarks/cutout.py FOLDER/annotations/person_keypoints_train2017.json FOLDER/train2017

One thread, images already decoded. For every person with 8 visible joints and 60 pixels high: its mask without its
neighbours', the metrics of its quality, soft edges, the RGBA rectangle. The peer is what most code does: pycocotools
decodes every mask at the image's size, and everything up to the last step, which takes the rectangle, is done at
that size, opacity in floating point.
"""

import time
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import pycocotools.mask
import typer

from dag.annotation import PersonAnnotation, Visibility
from dag.convert.coco import read_coco
from dag.image import read_image
from dag.masks import PartMap
from dag.parsing.mask_parser import MaskParser
from dag.pool.build import by_image, cut_out
from dag.pool.pool import Cutout
from dag.pool.quality import Quality, measured_quality
from dag.skeleton import COCO17

ROUNDS = 5


def ours(image: np.ndarray, people: list[PersonAnnotation], target: int) -> tuple[Quality, Cutout]:
    [parsed] = MaskParser().parse(image, people, [target])
    return measured_quality(people[target], parsed, COCO17), cut_out(image, people[target], parsed)


def naive(image: np.ndarray, people: list[PersonAnnotation], target: int) -> tuple[Quality, np.ndarray]:
    """Quality, and RGBA of the cut-out's rectangle."""
    masks = [whole_mask(person) for person in people]
    others = np.any([mask for number, mask in enumerate(masks) if number != target], axis=0)
    mine = masks[target] & ~others
    ambiguous = float((masks[target] & others).sum() / masks[target].sum())
    quality = measured_quality(people[target], PartMap(0, 0, mine.astype(np.uint8), ambiguous), COCO17)
    eroded = cv2.erode(mine.astype(np.float32), np.ones((3, 3)), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    alpha = cv2.GaussianBlur(eroded, (3, 3), 0, borderType=cv2.BORDER_CONSTANT)
    colour = image.astype(np.float32) * (alpha[..., None] > 0)
    rgba = np.dstack([colour, alpha * 255]).round().astype(np.uint8)
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    return quality, rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def is_worth_it(person: PersonAnnotation) -> bool:
    """Those that the pool's default limits do not turn away unseen."""
    return (
        not person.is_crowd and person.bbox_xywh[3] >= 60 and int((person.visibility == Visibility.VISIBLE).sum()) >= 8
    )


def whole_mask(person: PersonAnnotation) -> np.ndarray:
    size = [person.image_height, person.image_width]
    runs: Any = {"size": size, "counts": (person.segmentation or "").encode()}
    return pycocotools.mask.decode(runs).astype(bool)


def main(
    annotations: Annotated[Path, typer.Argument(help="COCO keypoints json.")],
    images: Annotated[Path, typer.Argument(help="Folder of its images.")],
) -> None:
    cv2.setNumThreads(1)
    rows, _ = read_coco(annotations, dataset="coco", split="train", skeleton=COCO17, image_folder=".")
    times: dict[str, list[float]] = {"ours": [], "naive": []}
    sizes = []
    for people in by_image([row for row in rows if row.segmentation]):
        image = read_image(images, people[0].image_path)
        for target in (number for number, person in enumerate(people) if is_worth_it(person)):
            (quality, cutout), (same, rgba) = ours(image, people, target), naive(image, people, target)
            assert np.abs(cutout.rgba.astype(int) - rgba)[rgba[..., 3] > 0].max() <= 1
            assert quality == same
            sizes.append(image.shape[:2])
            for name, step in (("ours", ours), ("naive", naive)):
                started = time.perf_counter()
                for _ in range(ROUNDS):
                    step(image, people, target)
                times[name].append((time.perf_counter() - started) / ROUNDS)
    height, width = np.median(sizes, axis=0).astype(int)
    print(f"{len(sizes)} people, images of {width} x {height} (median)\n")
    print("| way | mean ms | median ms |\n|---|---|---|")
    for name, values in times.items():
        print(f"| {name} | {1000 * np.mean(values):.2f} | {1000 * np.median(values):.2f} |")
    ratios = np.array(times["naive"]) / times["ours"]
    whole = np.sum(times["naive"]) / np.sum(times["ours"])
    print(f"\nall people {whole:.1f} times faster, the median person {np.median(ratios):.1f} times")


if __name__ == "__main__":
    typer.run(main)
