"""Standing persons on constructed images: joints, outline and bounding box are known to the pixel."""

import cv2
import numpy as np
import pycocotools.mask
from jaxtyping import Bool

from dag.annotation import PersonAnnotation, Source
from dag.skeleton import COCO17

WIDTH, HEIGHT = 200, 220
JOINTS = np.array(
    [(30, 14), (33, 12), (27, 12), (36, 13), (24, 13), (44, 38), (16, 38), (48, 62), (12, 62), (50, 86), (10, 86),
     (39, 88), (21, 88), (40, 122), (20, 122), (40, 156), (20, 156)],
    dtype=float,
)  # fmt: skip
"""Pixels from the top left corner of a box of 60 x 170, in the order of `COCO17`."""


def outline(left: int, top: int) -> Bool[np.ndarray, "220 200"]:
    """Mask of a person whose box starts at (left, top)."""
    canvas = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    xy = (JOINTS + (left, top)).astype(np.int32)
    cv2.circle(canvas, xy[0].tolist(), 13, 1, -1)
    cv2.fillConvexPoly(canvas, xy[[5, 6, 12, 11]], 1)
    cv2.line(canvas, xy[0].tolist(), [int(xy[0, 0]), int(xy[5, 1])], 1, 11)
    for a, b in COCO17.bone_index:
        if min(a, b) >= 5:
            cv2.line(canvas, xy[a].tolist(), xy[b].tolist(), 1, 11)
    return canvas.astype(bool)


def standing(
    person_id: int,
    left: int,
    top: int = 25,
    *,
    mask: Bool[np.ndarray, "220 200"] | None = None,
    masked: bool = True,
    visibility: dict[int, int] | None = None,
    is_crowd: bool = False,
    gt_occluder: dict[int, int] | None = None,
) -> PersonAnnotation:
    """A person whose joints are visible except those in `visibility`; `mask` defaults to the outline.

    Args:
        left, top: corner of the box that `JOINTS` are relative to.
        masked: False omits the segmentation.
        visibility: by joint index, for joints that are not visible.
        gt_occluder: `Occluder` values by joint index; None for a data set without exact ground truth.
    """
    mask = outline(left, top) if mask is None else mask
    rows, columns = np.nonzero(mask)
    flags = np.full(len(COCO17), 0 if is_crowd else 2, dtype=np.int8)
    gt = np.zeros(len(COCO17), dtype=np.int8)
    for joint, flag in (visibility or {}).items():
        flags[joint] = flag
    for joint, kind in (gt_occluder or {}).items():
        gt[joint] = kind
    box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
    runs = pycocotools.mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return PersonAnnotation(
        dataset="toy",
        split="train",
        image_id=1,
        image_path="a.png",
        image_width=WIDTH,
        image_height=HEIGHT,
        person_id=person_id,
        bbox_xywh=np.array(box, dtype=float),
        area=float(mask.sum()),
        is_crowd=is_crowd,
        keypoints_xy=np.where((flags > 0)[:, None], JOINTS + (left, top), 0.0),
        visibility=flags,
        visibility_source=np.where(flags > 0, Source.ANNOTATED, Source.NONE).astype(np.int8),
        occluder=np.zeros(len(COCO17), dtype=np.int8),
        segmentation=runs["counts"].decode() if masked else None,
        gt_occluder=gt if gt_occluder is not None else None,
    )


def image(*masks: Bool[np.ndarray, "220 200"]) -> np.ndarray:
    """Black RGB image with persons that are yellow above row 125 and red from there on."""
    image = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    for mask in masks:
        image[mask] = (255, 255, 0)
    image[125:, :, 1] = 0
    return image
