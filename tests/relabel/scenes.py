"""Constructed annotations for the tests of relabelling: a person with an occluded left wrist, and masks around it."""

from dataclasses import replace

import numpy as np

from dag.annotation import PersonAnnotation
from dag.parallel import Workers
from dag.relabel.calibration import ALL, Calibration
from dag.relabel.candidates import Candidate
from dag.relabel.evidence import Evidence
from dag.relabel.relabel import relabel_persons
from dag.relabel.reviews import Decision
from dag.skeleton import COCO17
from tests.standing import HEIGHT, JOINTS, WIDTH, outline, standing

WRIST = COCO17.joints.index("left_wrist")
ELSEWHERE = outline(5, 45)
LEFT, TOP = 60, 25
X, Y = (JOINTS[WRIST] + (LEFT, TOP)).astype(int)

EXACT = Calibration({ALL: 1.0}, np.array([0.0, 1.0]), np.array([0.0, 1.0]))
MASKS_ONLY = Evidence(None, [], {}, EXACT)
"""No source of locations."""


def rectangle(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def square_at_wrist(reach: int) -> np.ndarray:
    """Mask of the pixels within `reach` rows and columns of the target's left wrist."""
    return rectangle(X - reach, Y - reach, X + reach + 1, Y + reach + 1)


def target(mask: np.ndarray, **options) -> PersonAnnotation:
    """A person whose left wrist, at (X, Y), is occluded."""
    return standing(1, LEFT, TOP, mask=mask, visibility={WRIST: 1}, **options)


def other(mask: np.ndarray, **options) -> PersonAnnotation:
    return standing(2, 100, mask=mask, **options)


def persons_of_all_kinds() -> list[PersonAnnotation]:
    """Four images: wrist occluded by another person, by the person itself, by an object, and undecided."""
    pairs = [
        (target(ELSEWHERE, gt_occluder={WRIST: 2}), other(square_at_wrist(5))),
        (target(square_at_wrist(5), gt_occluder={WRIST: 3}), other(ELSEWHERE)),
        (target(ELSEWHERE, gt_occluder={WRIST: 3}), other(ELSEWHERE)),
        (target(square_at_wrist(1), gt_occluder={WRIST: 3}), other(ELSEWHERE)),
    ]
    return [
        replace(one, image_id=image, image_path=f"{image}.png", person_id=10 * image + one.person_id, split=split)
        for image, (pair, split) in enumerate(zip(pairs, ("train", "train", "val", "val")))
        for one in pair
    ]


def without_wrist() -> tuple[PersonAnnotation, PersonAnnotation]:
    """A person inside the image whose left wrist is unlabelled, and the same person completely labelled."""
    complete = standing(1, 60, 25, mask=ELSEWHERE)
    visibility = np.where(np.arange(17) == WRIST, np.int8(0), complete.visibility)
    return replace(complete, visibility=visibility), complete


def candidates_of(
    persons: list[PersonAnnotation], evidence: Evidence = MASKS_ONLY, workers: int = 1, **options: float
) -> list[Candidate]:
    options = {"margin": 2.0, "min_confidence": 0.8, **options}
    return relabel_persons(persons, COCO17, evidence, **options, workers=Workers(workers))


def decision(
    person_id: int, action: str, visibility: int, xy: tuple[float, float] = (5.0, 6.0), **more: str
) -> Decision:
    label = {"joint": "left_wrist", "occluder": "object", "reviewer": "ann", "time": "2026-01-02T03:04:05Z", **more}
    return Decision(person_id=person_id, action=action, visibility=visibility, x=xy[0], y=xy[1], **label)  # type: ignore[arg-type]
