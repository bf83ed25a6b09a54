"""A picture of what a model finds in training, for a person to judge: ground_truth, then every output, of some people."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from dag.annotation import PersonAnnotation, Visibility
from dag.geometry import apply_affine, crop_from_box, input_from_image, pixel_of
from dag.image import read_image
from dag.inference.predictor import SCORE_THRESHOLD, cut_crop
from dag.prediction import Prediction, outputs_of
from dag.sheets.drawing import BONE, OCCLUDED, VISIBLE, caption, write_sheet
from dag.skeleton import Skeleton

PEOPLE = 12
COLUMNS = 4
CROP_WIDTH = 192
"""Small crops are enlarged to about this width, for the eye."""


def write_samples(
    path: Path,
    people: Sequence[PersonAnnotation],
    predictions: Sequence[Prediction],
    root: str | Path,
    skeleton: Skeleton,
    input_wh: tuple[int, int],
) -> None:
    """Draw people spread evenly over `people`: ground truth (occluded joints orange), then every output (unsure joints orange).

    The person id and the outputs stand below.
    """
    chosen = np.unique(np.linspace(0, len(people) - 1, min(len(people), PEOPLE)).round().astype(int)) if people else []
    outputs = {name: {pose.person_id: pose for pose in poses} for name, poses in outputs_of(predictions).items()}
    tiles = []
    for person in (people[int(number)] for number in chosen):
        image = cut_crop(read_image(root, person.image_path), person.bbox_xywh, input_wh)
        affine = input_from_image(*crop_from_box(person.bbox_xywh, input_wh), input_wh)
        labelled, visible = person.visibility > 0, person.visibility == Visibility.VISIBLE
        poses = [(person.keypoints_xy, labelled, visible)]
        for found in (by_person[person.person_id] for by_person in outputs.values()):
            poses.append((found.keypoints_xy, np.ones_like(labelled), found.joint_scores > SCORE_THRESHOLD))
        drawn = [draw_pose(image, apply_affine(affine, xy), shown, sure, skeleton) for xy, shown, sure in poses]
        strip = cv2.copyMakeBorder(np.hstack(drawn), 0, 18, 0, 0, cv2.BORDER_CONSTANT)
        tiles.append(caption(strip, f"{person.person_id}: ground_truth, {', '.join(outputs)}"))
    write_sheet(path, tiles or [caption(np.full((60, 360, 3), 255, np.uint8), "nobody to validate on")], COLUMNS)


def draw_pose(
    image: UInt8[np.ndarray, "h w 3"],
    xy: Float[np.ndarray, "J 2"],
    shown: Bool[np.ndarray, " J"],
    sure: Bool[np.ndarray, " J"],
    skeleton: Skeleton,
) -> UInt8[np.ndarray, "H W 3"]:
    """A crop, enlarged where it is small, with the joints that are `shown`: green where `sure`, else orange."""
    zoom = max(1, round(CROP_WIDTH / image.shape[1]))
    picture = cv2.resize(image, None, fx=zoom, fy=zoom)
    points = [tuple(point) for point in pixel_of((xy + 0.5) * zoom - 0.5).tolist()]
    for first, second in skeleton.bone_index:
        if shown[first] and shown[second]:
            cv2.line(picture, points[first], points[second], BONE, 2, cv2.LINE_AA)
    for joint in np.flatnonzero(shown):
        cv2.circle(picture, points[joint], 3, VISIBLE if sure[joint] else OCCLUDED, -1, cv2.LINE_AA)
    return cv2.copyMakeBorder(picture, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
