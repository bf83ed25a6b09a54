"""Images with their ground truth as a folder in COCO's layout."""

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
from pycocotools import mask as run_lengths

from dag.annotation import Occluder, Visibility
from dag.errors import UserError
from dag.files import whole_folder
from dag.parallel import Workers
from dag.skeleton import COCO17
from dag.synthetic.ground_truth import PARTS, GroundTruth
from dag.synthetic.render import SPLITS, render_image

JPEG_QUALITY = 92

BUNDLE = 8
"""Images that a worker takes at a time."""


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
    """Render the images of every split into `folder`, whole or not at all.

    Writes `annotations/person_keypoints_<split>.json`, `<split>/<image id>.jpg` and `parts/<split>/<image id>.png`.
    Beside COCO's fields an image has the `sha256` of its file and its `part_map`, an annotation `true_keypoints` (also
    of joints out of frame), `gt_occluder` (`Occluder` numbers) and `occlusion` (occluded share of its silhouette).
    The bytes do not depend on `workers`.

    Args:
        counts: images a split; the splits are "train" and "val".
        max_persons: the most in an image; `occlusion`: how likely something or somebody is put in front of each.

    Raises:
        UserError: an unknown split.
    """
    unknown = set(counts) - set(SPLITS)
    if unknown:
        raise UserError("unknown split", expected=f"some of {SPLITS}", got=sorted(unknown))
    setting = {"width": width, "height": height, "max_persons": max_persons, "occlusion": occlusion}
    with whole_folder(folder) as partial:
        for name in ("annotations", *counts, *(f"parts/{split}" for split in counts)):
            (partial / name).mkdir(parents=True)
        first_image, first_person = 1, 1
        for split, count in counts.items():
            write = functools.partial(_write_images, partial.resolve(), seed, split, first_image, **setting)
            tasks = [(start, min(start + BUNDLE, count)) for start in range(0, count, BUNDLE)]
            photos = chain.from_iterable(workers.map(write, tasks, f"render {split}"))
            images, annotations = _number(photos, first_person)
            dataset = {**_header(seed, setting), "images": images, "annotations": annotations}
            (partial / f"annotations/person_keypoints_{split}.json").write_text(json.dumps(dataset) + "\n")
            first_image, first_person = first_image + count, first_person + len(annotations)


def encode_jpeg(image: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """RGB as the bytes of a JPEG file."""
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


def annotation(gt: GroundTruth, image_id: int) -> dict:
    """One person as a COCO annotation; the caller gives the id."""
    visibility = np.full(17, Visibility.OCCLUDED)
    visibility[gt.occluder == Occluder.UNKNOWN] = Visibility.VISIBLE
    visibility[gt.occluder == Occluder.FRAME] = Visibility.UNLABELLED
    joints_xy = np.round(gt.joints_xy, 2)
    labelled = np.where(visibility[:, None] > 0, joints_xy, 0)
    segment: Any = run_lengths.encode(np.asfortranarray(gt.mask, np.uint8))
    keypoints = [value for xy, v in zip(labelled.tolist(), visibility.tolist()) for value in (*xy, v)]
    return {
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": run_lengths.toBbox(segment).tolist(),
        "area": float(run_lengths.area(segment)),
        "segmentation": {"size": list(segment["size"]), "counts": segment["counts"].decode()},
        "num_keypoints": int((visibility > 0).sum()),
        "keypoints": keypoints,
        "true_keypoints": joints_xy.tolist(),
        "gt_occluder": gt.occluder.tolist(),
        "occlusion": round(gt.occlusion_ratio, 4),
    }


def _write_images(
    folder: Path, seed: int, split: str, first_image: int, start: int, end: int, **setting: Any
) -> list[tuple[dict, list]]:
    """`_write_image` of the images `start` up to `end` of a split; the first one has the id `first_image`."""
    return [_write_image(folder, seed, split, index, first_image + index, **setting) for index in range(start, end)]


def _write_image(
    folder: Path, seed: int, split: str, index: int, image_id: int, *, width: int, height: int, **setting: Any
) -> tuple[dict, list]:
    """Render and write one image; returns its image entry and its people's annotations, without their ids."""
    photo = render_image(seed, split, index, width=width, height=height, **setting)
    name = f"{split}/{image_id:012d}"
    jpeg = encode_jpeg(photo.image)
    (folder / f"{name}.jpg").write_bytes(jpeg)
    (folder / f"parts/{name}.png").write_bytes(cv2.imencode(".png", photo.parts)[1].tobytes())
    image = {
        "id": image_id,
        "file_name": f"{image_id:012d}.jpg",
        "width": width,
        "height": height,
        "sha256": hashlib.sha256(jpeg).hexdigest(),
        "part_map": f"parts/{name}.png",
    }
    return image, [annotation(gt, image_id) for gt in photo.persons]


def _number(results: Iterable, first: int) -> tuple[list[dict], list[dict]]:
    images, annotations = [], []
    for image, people in results:
        images.append(image)
        annotations += [{"id": first + len(annotations) + n, **person} for n, person in enumerate(people)]
    return images, annotations


def _header(seed: int, setting: dict) -> dict:
    bones = [[int(a) + 1, int(b) + 1] for a, b in COCO17.bone_index]
    return {
        "info": {
            "description": "metrics: rendered people with exact ground_truth",
            "seed": seed,
            **setting,
            "parts": PARTS,
        },
        "licenses": [],
        "categories": [
            {"id": 1, "name": "person", "supercategory": "person", "keypoints": COCO17.joints, "skeleton": bones}
        ],
    }
