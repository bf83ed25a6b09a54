"""Writer of synthetic images and their ground truth as a folder in COCO's layout."""

import functools
import hashlib
import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from pycocotools import mask as rle

from dag.annotation import Occluder, Visibility
from dag.errors import UserError
from dag.files import whole_folder
from dag.parallel import Workers
from dag.skeleton import COCO17
from dag.synthetic.ground_truth import PARTS, GroundTruth
from dag.synthetic.render import SPLITS, render_image

JPEG_QUALITY = 92

BATCH = 8
"""Images per task of a worker."""


def write_synthetic(
    folder: str | Path,
    counts: dict[str, int],
    *,
    width: int,
    height: int,
    max_persons: int,
    occlusion: float,
    seed: int,
    workers: Workers,
) -> None:
    """Render the images of every split into `folder`, atomically.

    Writes `annotations/person_keypoints_<split>.json`, `<split>/<image id>.jpg` and `parts/<split>/<image id>.png`.
    In addition to COCO's fields, an image has `sha256` (hash of its file) and `part_map`; an annotation has
    `gt_keypoints` (x, y of all joints, also of those outside the image), `gt_occluder` (`Occluder` numbers) and
    `occlusion_ratio` (occluded fraction of the person's silhouette). The bytes do not depend on `workers`.

    Args:
        counts: number of images of each split, "train" and "val".
        max_persons: maximum number of persons in an image.
        occlusion: probability that an object or another person is placed in front of a person.

    Raises:
        UserError: unknown split.
    """
    unknown = set(counts) - set(SPLITS)
    if unknown:
        raise UserError("unknown split", expected=f"some of {SPLITS}", got=sorted(unknown))
    settings = {"width": width, "height": height, "max_persons": max_persons, "occlusion": occlusion}
    with whole_folder(folder) as partial:
        for name in ("annotations", *counts, *(f"parts/{split}" for split in counts)):
            (partial / name).mkdir(parents=True)
        first_image, first_person = 1, 1
        for split, count in counts.items():
            write = functools.partial(_write_images, partial.resolve(), seed, split, first_image, **settings)
            tasks = [(start, min(start + BATCH, count)) for start in range(0, count, BATCH)]
            results = chain.from_iterable(workers.map(write, tasks, f"render {split}"))
            images, annotations = _with_ids(results, first_person)
            dataset = {**_header(seed, settings), "images": images, "annotations": annotations}
            (partial / f"annotations/person_keypoints_{split}.json").write_text(json.dumps(dataset) + "\n")
            first_image, first_person = first_image + count, first_person + len(annotations)


def encode_jpeg(image: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """The bytes of a JPEG file with an RGB image."""
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


def annotation(gt: GroundTruth, image_id: int) -> dict:
    """The COCO annotation of a person, without its id."""
    visibility = np.full(17, Visibility.OCCLUDED)
    visibility[gt.occluder == Occluder.UNKNOWN] = Visibility.VISIBLE
    visibility[gt.occluder == Occluder.FRAME] = Visibility.UNLABELLED
    joints_xy = np.round(gt.joints_xy, 2)
    labelled = np.where(visibility[:, None] > 0, joints_xy, 0)
    segmentation: Any = rle.encode(np.asfortranarray(gt.mask, np.uint8))
    keypoints = [value for xy, v in zip(labelled.tolist(), visibility.tolist()) for value in (*xy, v)]
    return {
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": rle.toBbox(segmentation).tolist(),
        "area": float(rle.area(segmentation)),
        "segmentation": {"size": list(segmentation["size"]), "counts": segmentation["counts"].decode()},
        "num_keypoints": int((visibility > 0).sum()),
        "keypoints": keypoints,
        "gt_keypoints": joints_xy.tolist(),
        "gt_occluder": gt.occluder.tolist(),
        "occlusion_ratio": round(gt.occlusion_ratio, 4),
    }


def _write_images(
    folder: Path, seed: int, split: str, first_image: int, start: int, end: int, **settings: Any
) -> list[tuple[dict, list]]:
    """`_write_image` for the images `start` to `end` (exclusive) of a split, whose image 0 has the id `first_image`."""
    return [_write_image(folder, seed, split, index, first_image + index, **settings) for index in range(start, end)]


def _write_image(
    folder: Path, seed: int, split: str, index: int, image_id: int, *, width: int, height: int, **settings: Any
) -> tuple[dict, list]:
    """Render and write one image; returns its image entry and its annotations without ids."""
    rendered = render_image(seed, split, index, width=width, height=height, **settings)
    name = f"{split}/{image_id:012d}"
    jpeg = encode_jpeg(rendered.image)
    (folder / f"{name}.jpg").write_bytes(jpeg)
    (folder / f"parts/{name}.png").write_bytes(cv2.imencode(".png", rendered.parts)[1].tobytes())
    image = {
        "id": image_id,
        "file_name": f"{image_id:012d}.jpg",
        "width": width,
        "height": height,
        "sha256": hashlib.sha256(jpeg).hexdigest(),
        "part_map": f"parts/{name}.png",
    }
    return image, [annotation(gt, image_id) for gt in rendered.persons]


def _with_ids(results: Iterable, first: int) -> tuple[list[dict], list[dict]]:
    images, annotations = [], []
    for image, persons in results:
        images.append(image)
        annotations += [{"id": first + len(annotations) + n, **person} for n, person in enumerate(persons)]
    return images, annotations


def _header(seed: int, settings: dict) -> dict:
    bones = [[int(a) + 1, int(b) + 1] for a, b in COCO17.bone_index]
    return {
        "info": {
            "description": "synthetic: rendered people with exact ground truth",
            "seed": seed,
            **settings,
            "parts": PARTS,
        },
        "licenses": [],
        "categories": [
            {"id": 1, "name": "person", "supercategory": "person", "keypoints": COCO17.joints, "skeleton": bones}
        ],
    }
