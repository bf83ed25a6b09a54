"""Random images, annotations, instances and cut-outs for tests that depend on shapes and types, not on content."""

from pathlib import Path

import cv2
import numpy as np
import pycocotools.mask

from dag.annotation import PersonAnnotation, Source, write_annotations
from dag.augmentation.instances import Instances
from dag.pool.pool import Cutout, write_pool
from dag.skeleton import COCO17


def make_instances(rng: np.random.Generator, count: int = 2, width: int = 240, height: int = 320) -> Instances:
    """Instances with visible, occluded and unlabelled joints anywhere in a crop; the target has visible ones."""
    shape = (count, len(COCO17))
    visibility = rng.choice([0, 1, 2, 2, 3], shape).astype(np.int8)
    visibility[0, :4] = 2
    xy = rng.uniform(0, [width - 1, height - 1], (*shape, 2)) * (visibility > 0)[..., None]
    source = np.where(visibility > 0, Source.ANNOTATED, Source.NONE).astype(np.int8)
    return Instances(xy, visibility, source, np.zeros(shape, np.int8))


def make_cutout(
    rng: np.random.Generator, person_id: int = 1, image_path: str = "pool.png", height: int = 120, width: int = 60
) -> Cutout:
    """An opaque ellipse with all joints inside it; the last one is occluded."""
    alpha = np.zeros((height, width), np.uint8)
    cv2.ellipse(alpha, (width // 2, height // 2), (width // 2 - 2, height // 2 - 2), 0, 0, 360, 255, -1)
    rows, columns = np.nonzero(alpha)
    chosen = rng.integers(len(rows), size=len(COCO17))
    visibility = np.full(len(COCO17), 2, np.int8)
    visibility[-1] = 1
    return Cutout(
        person_id=person_id,
        image_path=image_path,
        rgba=np.dstack([rng.integers(0, 256, (height, width, 3), dtype=np.uint8), alpha]),
        parts=(alpha > 0).astype(np.uint8),
        keypoints_xy=np.stack([columns[chosen], rows[chosen]], axis=1).astype(float),
        visibility=visibility,
    )


def make_person(
    rng: np.random.Generator,
    person_id: int,
    image_id: int,
    bbox_xywh: tuple[float, float, float, float],
    *,
    labelled: bool = True,
    is_crowd: bool = False,
    mask: bool = True,
    split: str = "train",
) -> PersonAnnotation:
    """Annotation on a 160 x 120 image; its joints lie in its box and its mask fills the box."""
    x, y, width, height = bbox_xywh
    joints = len(COCO17)
    visibility = rng.choice([1, 2, 2], joints).astype(np.int8) * np.int8(labelled)
    region = np.zeros((120, 160), np.uint8, order="F")
    region[round(y) : round(y + height), round(x) : round(x + width)] = 1
    return PersonAnnotation(
        dataset="toy",
        split=split,
        image_id=image_id,
        image_path=f"{image_id}.png",
        image_width=160,
        image_height=120,
        person_id=person_id,
        bbox_xywh=np.array(bbox_xywh, dtype=float),
        area=float(width * height),
        is_crowd=is_crowd,
        keypoints_xy=(
            rng.uniform([x, y], [x + width - 1, y + height - 1], (joints, 2)) if labelled else np.zeros((joints, 2))
        ),
        visibility=visibility,
        visibility_source=np.where(visibility > 0, Source.ANNOTATED, Source.NONE).astype(np.int8),
        occluder=np.zeros(joints, np.int8),
        segmentation=pycocotools.mask.encode(region)["counts"].decode() if mask else None,
    )


def make_toy_set(folder: Path, images: int = 3, cutouts: int = 3) -> None:
    """Write `annotations.parquet`, `pool.arrow` and `images/`; per image two persons, an unlabelled one and a crowd."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    persons = []
    for image_id in range(1, images + 1):
        cv2.imwrite(str(folder / f"images/{image_id}.png"), rng.integers(0, 256, (120, 160, 3), dtype=np.uint8))
        number = image_id * 10
        persons += [
            make_person(rng, number, image_id, (10, 10, 50, 90)),
            make_person(rng, number + 1, image_id, (50, 20, 60, 80), mask=False),
            make_person(rng, number + 2, image_id, (120, 10, 20, 60), labelled=False),
            make_person(rng, number + 3, image_id, (130, 80, 29, 39), labelled=False, is_crowd=True),
        ]
    persons.append(make_person(rng, 999, 99, (10, 10, 50, 90), split="val"))
    write_annotations(folder / "annotations.parquet", persons, COCO17)
    write_pool(folder / "pool.arrow", (make_cutout(rng, n, f"{n}.png") for n in range(1, cutouts + 1)), COCO17)
