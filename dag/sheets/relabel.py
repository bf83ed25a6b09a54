"""Contact sheet of the accepted candidates with the lowest confidence."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from dag.annotation import PersonAnnotation, Visibility
from dag.geometry import pixel_of
from dag.image import read_image
from dag.relabel.calibration import CHI_SQUARE
from dag.relabel.candidates import ACCEPTED, Candidate
from dag.relabel.proposals import oks_units
from dag.sheets.drawing import BONE, OCCLUDED, VISIBLE, caption, write_sheet
from dag.skeleton import Skeleton

PROPOSED = (255, 0, 255)
SIDE = 220
PADDING = 1.2
"""Side of the drawn region over the longer side of the bounding box."""


def write_candidate_sheet(
    path: str | Path,
    candidates: Sequence[Candidate],
    persons: Sequence[PersonAnnotation],
    root: str | Path,
    skeleton: Skeleton,
    *,
    most: int = 40,
) -> None:
    """Write a sheet of `candidate_tile`s of the accepted proposed locations with the lowest confidence."""
    by_id = {(person.split, person.person_id): person for person in persons}
    accepted = [row for row in candidates if row.decision == ACCEPTED and row.sources]
    chosen = sorted(accepted, key=lambda row: row.confidence)[:most]
    tiles = [candidate_tile(row, by_id[row.person], root, skeleton) for row in chosen]
    write_sheet(path, tiles or [caption(np.full((60, 360, 3), 255, np.uint8), "no location was accepted")])


def candidate_tile(
    row: Candidate, person: PersonAnnotation, root: str | Path, skeleton: Skeleton
) -> UInt8[np.ndarray, "H W 3"]:
    """The person with annotated joints (green: visible, orange: occluded) and the candidate (magenta).

    The circle is the candidate's 90 % region. The caption holds person id, joint and confidence.
    """
    image = read_image(root, person.image_path)
    left, top, width, height = person.bbox_xywh
    zoom = SIDE / max(PADDING * max(width, height), 1)
    shift = np.array([SIDE / 2, SIDE / 2]) - zoom * np.array([left + width / 2, top + height / 2])
    affine = np.concatenate([zoom * np.eye(2), shift[:, None]], axis=1)
    tile = cv2.warpAffine(image, affine, (SIDE, SIDE), flags=cv2.INTER_AREA)
    joint = skeleton.joints.index(row.joint)
    points = [tuple(point) for point in pixel_of(person.keypoints_xy * zoom + shift).tolist()]
    for first, second in skeleton.bone_index:
        if person.visibility[first] > 0 and person.visibility[second] > 0:
            cv2.line(tile, points[first], points[second], BONE, 1, cv2.LINE_AA)
    for index in np.flatnonzero(person.visibility > 0):
        color = VISIBLE if person.visibility[index] == Visibility.VISIBLE else OCCLUDED
        cv2.circle(tile, points[index], 2, color, -1, cv2.LINE_AA)
    location = tuple(pixel_of(np.array([row.x, row.y]) * zoom + shift).tolist())
    radius = zoom * row.uncertainty * float(oks_units(person, skeleton)[joint]) * np.sqrt(CHI_SQUARE)
    cv2.circle(tile, location, max(int(radius), 1), PROPOSED, 1, cv2.LINE_AA)
    cv2.circle(tile, location, 3, PROPOSED, -1, cv2.LINE_AA)
    return caption(tile, f"{row.person_id} {row.joint} {row.confidence:.2f}")
