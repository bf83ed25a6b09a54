"""COCO keypoint json to person rows, and back.

The format: `images`, `annotations`, `categories`; a keypoint is x, y, visibility with the centre of the first pixel at
(0, 0); a mask is a list of polygons, or run lengths, compressed or not (cocodataset.org/#format-data). Beside COCO's own
keys an annotation may carry `visibility_source`, `occluder` and `true_occluder` (a number a joint), and an image
CrowdPose's `crowdIndex`.
"""

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask
from jaxtyping import Int8

from dag.data.validate import Fault, annotation_reasons, image_reasons, is_finite, is_whole
from dag.errors import UserError
from dag.files import read_json, whole_file
from dag.person import Person, Source, Visibility
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
) -> tuple[list[Person], list[Fault]]:
    """Rows of every sound annotation, in the file's order, and what is wrong with the others.

    People without keypoints (also those whose annotation has no such list) and crowds are kept. Unlabelled joints are
    set to (0, 0). Photographs are not opened: see `dag.data.validate.photograph_faults`.

    Args:
        image_folder: folder of the photographs, relative to the data root; goes before every `file_name`.
        source: where visibility comes from, for annotations that do not say it themselves.

    Raises:
        UserError: no json, a list missing or empty, no category with the skeleton's joints, or a file name that leads
            out of the data root.
    """
    content = _read_lists(annotations_path)
    where = str(annotations_path)
    categories = _person_categories(content["categories"], skeleton, where)
    images, faults = _index_images(content["images"], image_folder, where)
    persons, seen = [], set()
    for annotation in progress(content["annotations"], f"{dataset} {split}"):
        person_id, image_id = annotation.get("id"), annotation.get("image_id")
        reasons = _reference_reasons(annotation, seen, images, categories)
        image = None if reasons else images[image_id]
        if image is not None:
            reasons = list(annotation_reasons(annotation, image["width"], image["height"], len(skeleton)))
            segmentation, reason = _run_lengths(annotation.get("segmentation"), image["width"], image["height"])
            reasons += [reason] if reason else []
            if not reasons:
                row = {"dataset": dataset, "split": split, "segmentation": segmentation}
                persons.append(_person(annotation, image, os.path.join(image_folder, image["file_name"]), source, row))
        seen |= {person_id} if is_whole(person_id) else set()
        faults += [Fault(where, f"annotation {person_id}", reason) for reason in reasons]
    return persons, faults
