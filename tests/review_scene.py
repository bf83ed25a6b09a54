"""A tiny data set: three images of two persons, ground truth and three outputs."""

import importlib
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pycocotools.mask
import pytest

from dag.annotation import Occluder, PersonAnnotation, Source, Visibility, write_annotations
from dag.prediction import Prediction, write_predictions
from dag.review.database import running_database
from dag.skeleton import COCO17

WIDTH, HEIGHT = 320, 240
POSE = np.array(
    [[0.5, 0.05], [0.56, 0.03], [0.44, 0.03], [0.62, 0.06], [0.38, 0.06], [0.75, 0.2], [0.25, 0.2], [0.9, 0.36]]
    + [[0.1, 0.36], [0.95, 0.52], [0.05, 0.52], [0.65, 0.52], [0.35, 0.52], [0.68, 0.75], [0.32, 0.75]]
    + [[0.7, 0.97], [0.3, 0.97]]
)
SHIFTS = {"graph": 8.0, "heatmap": 12.0, "mean_pose": 30.0}


@dataclass(frozen=True)
class Scene:
    """Folder of the files, and their content."""

    folder: Path
    persons: list[PersonAnnotation]
    predictions: list[Prediction]

    @property
    def persons_path(self) -> Path:
        return self.folder / "annotations.parquet"

    @property
    def predictions_path(self) -> Path:
        return self.folder / "predictions.parquet"


def import_fiftyone(config: pytest.Config, folder: Path) -> None:
    """Import FiftyOne with a database of this test run in `folder`; FiftyOne connects once, on import."""
    if "fiftyone" in sys.modules:
        return
    stack = ExitStack()
    config.add_cleanup(stack.close)
    database = stack.enter_context(running_database(folder))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in database.environment.items():
            patch.setenv(name, value)
        importlib.import_module("fiftyone")


def a_person(image: int, number: int, occluded: int, relabelled: int) -> PersonAnnotation:
    """A person, the second of an image to the right: first `occluded`, then `relabelled`, then visible joints."""
    box = np.array([20.0 + 150 * number, 15.0, 100.0, 205.0])
    visibility = np.full(17, Visibility.VISIBLE, dtype=np.int8)
    visibility[:occluded] = Visibility.OCCLUDED
    visibility[occluded : occluded + relabelled] = Visibility.RELABELLED
    source = np.where(visibility == Visibility.RELABELLED, Source.RELABELLED, Source.ANNOTATED).astype(np.int8)
    occluder = np.where(visibility == Visibility.VISIBLE, Occluder.UNKNOWN, Occluder.PERSON).astype(np.int8)
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    left, top, width, height = box.astype(int)
    cv2.ellipse(mask, (left + width // 2, top + height // 2), (width // 2, height // 2), 0, 0, 360, 1, -1)
    rle: Any = pycocotools.mask.encode(np.asfortranarray(mask))
    return PersonAnnotation(
        dataset="tiny",
        split="val",
        image_id=image,
        image_path=f"val/{image}.png",
        image_width=WIDTH,
        image_height=HEIGHT,
        person_id=10 * image + number,
        bbox_xywh=box,
        area=float(mask.sum()),
        is_crowd=False,
        keypoints_xy=box[:2] + POSE * box[2:],
        visibility=visibility,
        visibility_source=source,
        occluder=occluder,
        segmentation=rle["counts"].decode(),
    )


def unlabelled(person: PersonAnnotation, *joints: int) -> PersonAnnotation:
    keep = np.ones(17, dtype=bool)
    keep[list(joints)] = False
    return replace(
        person,
        keypoints_xy=person.keypoints_xy * keep[:, None],
        visibility=(person.visibility * keep).astype(np.int8),
        visibility_source=(person.visibility_source * keep).astype(np.int8),
        occluder=(person.occluder * keep).astype(np.int8),
    )


def a_prediction(person: PersonAnnotation, output: str) -> Prediction:
    """The template pose, shifted right by `SHIFTS` and by 2 pixels times the image id."""
    template = person.bbox_xywh[:2] + POSE * person.bbox_xywh[2:]
    shifted = template + [SHIFTS[output] + 2.0 * person.image_id, 0.0]
    scores = np.linspace(0.3, 0.9, 17)
    return Prediction(output, person.image_id, person.person_id, shifted, scores, float(scores.mean()))


def write_scene(folder: Path) -> Scene:
    """Write images, annotations and predictions below `folder`."""
    occluded = {(1, 0): (3, 0), (1, 1): (0, 2), (2, 0): (12, 0), (2, 1): (5, 4), (3, 0): (0, 0), (3, 1): (0, 0)}
    persons = [a_person(image, number, *joints) for (image, number), joints in occluded.items()]
    persons[0] = unlabelled(persons[0], 3, 4)
    predictions = [a_prediction(person, output) for output in SHIFTS for person in persons]
    crowd = replace(unlabelled(persons[5], *range(17)), person_id=99, is_crowd=True, segmentation=None)
    persons.append(crowd)
    (folder / "photos/val").mkdir(parents=True)
    for image in (1, 2, 3):
        noise = np.random.default_rng(image).integers(90, 140, (HEIGHT, WIDTH, 1), dtype=np.uint8)
        cv2.imwrite(str(folder / f"photos/val/{image}.png"), np.repeat(noise, 3, axis=2))
    scene = Scene(folder, persons, predictions)
    write_annotations(scene.persons_path, persons, COCO17)
    write_predictions(scene.predictions_path, predictions, COCO17)
    return scene
