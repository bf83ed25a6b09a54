"""Contact sheet of predictions during training: ground truth and every output, for some persons."""

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

MAX_PERSONS = 12
COLUMNS = 4
CROP_WIDTH = 192
"""Smaller crops are enlarged to about this width."""


def write_samples(
    path: Path,
    persons: Sequence[PersonAnnotation],
    predictions: Sequence[Prediction],
    root: str | Path,
    skeleton: Skeleton,
    input_wh: tuple[int, int],
) -> None:
    """Draw persons spread evenly over `persons`: ground truth, then every output; ids and outputs in the caption.

    Occluded joints of the ground truth and joints with a low score are orange, the others green.
    """
    chosen = np.unique(np.linspace(0, len(persons) - 1, min(len(persons), MAX_PERSONS)).round().astype(int))
    outputs = {name: {pose.person_id: pose for pose in poses} for name, poses in outputs_of(predictions).items()}
    tiles = []
    for person in (persons[int(index)] for index in chosen):
        image = cut_crop(read_image(root, person.image_path), person.bbox_xywh, input_wh)
        affine = input_from_image(*crop_from_box(person.bbox_xywh, input_wh), input_wh)
        labelled, visible = person.visibility > 0, person.visibility == Visibility.VISIBLE
        poses = [(person.keypoints_xy, labelled, visible)]
        for prediction in (by_person[person.person_id] for by_person in outputs.values()):
            confident = prediction.joint_scores > SCORE_THRESHOLD
            poses.append((prediction.keypoints_xy, np.ones_like(labelled), confident))
        crops = [draw_pose(image, apply_affine(affine, xy), drawn, green, skeleton) for xy, drawn, green in poses]
        strip = cv2.copyMakeBorder(np.hstack(crops), 0, 18, 0, 0, cv2.BORDER_CONSTANT)
        tiles.append(caption(strip, f"{person.person_id}: ground truth, {', '.join(outputs)}"))
    write_sheet(path, tiles or [caption(np.full((60, 360, 3), 255, np.uint8), "no evaluated persons")], COLUMNS)


def draw_pose(
    image: UInt8[np.ndarray, "h w 3"],
    xy: Float[np.ndarray, "J 2"],
    drawn: Bool[np.ndarray, " J"],
    green: Bool[np.ndarray, " J"],
    skeleton: Skeleton,
) -> UInt8[np.ndarray, "H W 3"]:
    """A crop, enlarged if it is small, with the joints where `drawn` is True: green or orange, and their bones."""
    zoom = max(1, round(CROP_WIDTH / image.shape[1]))
    enlarged = cv2.resize(image, None, fx=zoom, fy=zoom)
    points = [tuple(point) for point in pixel_of((xy + 0.5) * zoom - 0.5).tolist()]
    for first, second in skeleton.bone_index:
        if drawn[first] and drawn[second]:
            cv2.line(enlarged, points[first], points[second], BONE, 2, cv2.LINE_AA)
    for joint in np.flatnonzero(drawn):
        cv2.circle(enlarged, points[joint], 3, VISIBLE if green[joint] else OCCLUDED, -1, cv2.LINE_AA)
    return cv2.copyMakeBorder(enlarged, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
