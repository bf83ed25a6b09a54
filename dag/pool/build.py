"""Building of the instance pool: parsing, quality limits and cut-outs, in the order of the annotations.

The same limits are applied twice: to the quality bound from the annotation, which needs no parsing, and to the quality
of the parsed cut-out.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from dag.annotation import PersonAnnotation
from dag.image import read_image
from dag.masks import HumanParser, PartMap
from dag.parallel import Workers
from dag.pool.pool import Cutout, write_pool
from dag.pool.quality import RATIOS, Quality, Rejection, measured_quality, quality_bound, rejection, soft_alpha
from dag.skeleton import Skeleton

BATCH = 8
"""Images per task of a worker."""


def build_pool(
    path: str | Path,
    persons: Sequence[PersonAnnotation],
    root: str | Path,
    parser: HumanParser,
    skeleton: Skeleton,
    *,
    min_height: float,
    min_joints: int,
    min_joints_inside: float,
    max_fragment_ratio: float,
    min_mask_iou: float,
    max_occlusion_ratio: float,
    max_ambiguous: float,
    max_border: float,
    workers: Workers,
) -> list[Quality]:
    """Write the cut-outs of all accepted persons to `path`; returns the quality of every person, image after image.

    Args:
        path: the pool file.
        persons: all annotations of the images, including crowds, from which persons are separated.
        root: data root of the images.
        parser: human parser.
        skeleton: joints of the annotations.
        min_height ... max_border: see `rejection`.
        workers: processes among which the images are divided; the bytes are the same for any number.

    Raises:
        UserError: an image is missing or unreadable.
    """
    reject = partial(
        rejection,
        min_height=min_height,
        min_joints=min_joints,
        min_joints_inside=min_joints_inside,
        max_fragment_ratio=max_fragment_ratio,
        min_mask_iou=min_mask_iou,
        max_occlusion_ratio=max_occlusion_ratio,
        max_ambiguous=max_ambiguous,
        max_border=max_border,
    )
    images = by_image(persons)
    batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    # An absolute path: workers of a cluster run in another folder.
    tasks = [(batch, Path(root).resolve(), parser, skeleton, reject) for batch in batches]
    qualities: list[Quality] = []
    rejected: Counter[str] = Counter()

    def accepted() -> Iterator[Cutout]:
        for quality, cutout in chain.from_iterable(workers.map(cut_images, tasks, "images")):
            qualities.append(quality)
            if quality.rejection is not None:
                rejected[quality.rejection.value] += 1
            if cutout is not None:
                yield cutout

    write_pool(path, accepted(), skeleton, rejected)
    return qualities


def by_image(persons: Sequence[PersonAnnotation]) -> list[list[PersonAnnotation]]:
    """Annotations grouped by image, in the order of each image's first annotation."""
    images: dict[str, list[PersonAnnotation]] = {}
    for person in persons:
        images.setdefault(person.image_path, []).append(person)
    return list(images.values())


def cut_images(
    images: Sequence[Sequence[PersonAnnotation]],
    root: str | Path,
    parser: HumanParser,
    skeleton: Skeleton,
    reject: Callable[[Quality], Rejection | None],
) -> list[tuple[Quality, Cutout | None]]:
    """`cut_image` of several images, one after the other."""
    return [result for persons in images for result in cut_image(persons, root, parser, skeleton, reject)]


def cut_image(
    persons: Sequence[PersonAnnotation],
    root: str | Path,
    parser: HumanParser,
    skeleton: Skeleton,
    reject: Callable[[Quality], Rejection | None],
) -> list[tuple[Quality, Cutout | None]]:
    """Quality and, if `reject` returns None, cut-out of each person of one image.

    Args:
        persons: all annotations of the image.
        root: data root of the images.
        parser: human parser.
        skeleton: joints of the annotations.
        reject: limits, such as `rejection` with its keywords: the reason for a rejection, else None.
    """
    results: list[tuple[Quality, Cutout | None]] = []
    for person in persons:
        quality = quality_bound(person, skeleton)
        results.append((replace(quality, rejection=_unusable(person) or reject(quality)), None))
    targets = [number for number, (quality, _) in enumerate(results) if quality.rejection is None]
    if not targets:
        return results
    image = read_image(root, persons[0].image_path)
    for number, parsed in zip(targets, parser.parse(image, persons, targets)):
        quality = measured_quality(persons[number], parsed, skeleton)
        quality = replace(quality, rejection=reject(quality))
        cutout = cut_out(image, persons[number], parsed) if quality.rejection is None else None
        results[number] = (quality, cutout)
    return results


def _unusable(person: PersonAnnotation) -> Rejection | None:
    """Reason for rejecting an annotation whatever the limits are."""
    if person.is_crowd:
        return Rejection.CROWD
    return Rejection.NO_KEYPOINTS if person.num_keypoints == 0 else None


def cut_out(image: UInt8[np.ndarray, "H W 3"], person: PersonAnnotation, parsed: PartMap) -> Cutout:
    """Cut a person out with soft edges, in the smallest rectangle that contains it.

    Args:
        image: the whole image, RGB.
        person: the annotation.
        parsed: its part map, whose `soft_alpha` is not zero everywhere.
    """
    alpha = soft_alpha(parsed.parts)
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = parsed.parts.shape
    colour = image[parsed.top : parsed.top + height, parsed.left : parsed.left + width]
    left_top = (parsed.left + columns[0], parsed.top + rows[0])
    labelled = person.visibility > 0
    rgba = cv2.cvtColor(colour[window], cv2.COLOR_RGB2RGBA)
    rgba[..., 3] = alpha[window]
    return Cutout(
        person_id=person.person_id,
        image_path=person.image_path,
        rgba=rgba,
        parts=np.where(alpha[window] > 0, parsed.parts[window], np.uint8(0)),
        keypoints_xy=np.where(labelled[:, None], person.keypoints_xy - left_top, 0.0),
        visibility=person.visibility,
    )


def pool_metrics(qualities: Sequence[Quality]) -> dict[str, Any]:
    """Numbers of all, accepted and (by reason) rejected persons, and the mean quality of the accepted ones."""
    accepted = [quality for quality in qualities if quality.rejection is None]
    counts = Counter(quality.rejection for quality in qualities)
    ious = [quality.mask_iou for quality in accepted if quality.mask_iou is not None]
    metrics = ("height", "visible_joints", *(name for name in RATIOS if name != "mask_iou"))
    means = {name: float(np.mean([getattr(quality, name) for quality in accepted])) for name in metrics if accepted}
    return {
        "persons": len(qualities),
        "accepted": len(accepted),
        "rejected": {reason.value: counts[reason] for reason in Rejection},
        "mean": {**means, **({"mask_iou": float(np.mean(ious))} if ious else {})},
    }
