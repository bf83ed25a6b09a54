"""A tiny review queue: proposals for persons of `tests.review_scene`, as the relabel stage writes them."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dag.annotation import PersonAnnotation, write_annotations
from dag.relabel.candidates import SCHEMA
from dag.skeleton import COCO17
from tests.review_scene import HEIGHT, POSE, WIDTH, a_person, unlabelled

JOINTS = {"left_wrist": 9, "right_wrist": 10, "left_ankle": 15}


def a_proposal(person: PersonAnnotation, joint: str, **changes: Any) -> dict[str, Any]:
    """A queued proposal, at the location of the joint in the template pose."""
    number = JOINTS[joint]
    x, y = (person.bbox_xywh[:2] + POSE[number] * person.bbox_xywh[2:]).tolist()
    x_before, y_before = person.keypoints_xy[number].tolist()
    row = {"dataset": person.dataset, "split": person.split, "image_id": person.image_id, "joint": joint}
    row |= {"person_id": person.person_id, "x_before": x_before, "y_before": y_before, "x": x, "y": y}
    row |= {"visibility_before": int(person.visibility[number]), "visibility": 3, "occluder": "object"}
    row |= {"confidence": 0.4, "uncertainty": 0.1 * person.image_id, "disagreement": float("nan")}
    return row | {"sources": ["graph"], "reason": "uncertain", "decision": "queued", "reviewer": None} | changes


def write_queue(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)


def a_pair(image: int) -> list[PersonAnnotation]:
    """Two persons of an image whose wrists and left ankles are not labelled."""
    return [unlabelled(a_person(image, number, 0, 0), *JOINTS.values()) for number in (0, 1)]


def write_review_scene(folder: Path) -> list[PersonAnnotation]:
    """Four images of two persons with three proposals each; the fourth image has no proposals."""
    persons = [person for image in (1, 2, 3, 4) for person in a_pair(image)]
    (folder / "photos/val").mkdir(parents=True)
    for image in (1, 2, 3, 4):
        noise = np.random.default_rng(image).integers(90, 140, (HEIGHT, WIDTH, 1), dtype=np.uint8).repeat(3, axis=2)
        cv2.imwrite(str(folder / f"photos/val/{image}.png"), noise)
    write_annotations(folder / "annotations.parquet", persons, COCO17)
    write_queue(folder / "queue.parquet", [a_proposal(person, joint) for person in persons[:6] for joint in JOINTS])
    return persons
