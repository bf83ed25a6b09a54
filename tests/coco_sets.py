"""Random COCO annotations and results with every special case of the evaluation, and pycocotools' metrics."""

import contextlib
import io
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from dag.skeleton import COCO17


def random_set(seed: int, num_images: int = 12) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Annotations and results with ties, images without persons or results, crowd regions, persons without keypoints,
    v = 3, areas on both sides of every limit, more than 20 results per image, and equal scores."""
    rng = np.random.default_rng(seed)
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image in range(num_images):
        persons = [_person(rng, image) for _ in range(rng.integers(0, 5))]
        annotations += persons
        for _ in range(rng.integers(0, 30)):
            if persons and rng.random() < 0.8:
                xy = np.array(persons[rng.integers(len(persons))]["keypoints"], dtype=float).reshape(17, 3)[:, :2]
                xy = xy + rng.normal(0, rng.choice([0.0, 2.0, 10.0, 40.0]), (17, 2))
            else:
                xy = rng.uniform(0, 400, (17, 2))
            score = rng.choice([rng.random(), round(rng.random(), 1), 0.5])
            keypoints = np.column_stack([xy, rng.random(17)]).ravel().tolist()
            results.append({"image_id": image, "category_id": 1, "keypoints": keypoints, "score": float(score)})
    rng.shuffle(results)  # type: ignore[arg-type]
    for number, annotation in enumerate(annotations, 1):
        annotation["id"] = number
    category = {"id": 1, "name": "person", "keypoints": list(COCO17.joints), "skeleton": []}
    images = [{"id": image} for image in range(num_images)]
    return {"images": images, "annotations": annotations, "categories": [category]}, results


def _person(rng: np.random.Generator, image: int) -> dict[str, Any]:
    width, height = rng.choice([20.0, 32.0, 60.0, 96.0, 200.0], 2)
    left, top = rng.integers(0, 200, 2).astype(float)
    visibility = rng.integers(0, 4, 17) * (rng.random() > 0.15)
    xy = np.round(np.array([left, top]) + rng.random((17, 2)) * [width, height])
    keypoints = np.where(visibility[:, None] > 0, np.column_stack([xy, visibility]), 0)
    return {
        "image_id": image,
        "category_id": 1,
        "bbox": [left, top, width, height],
        "area": float(width * height * rng.choice([1.0, 0.5])),
        "iscrowd": int(rng.random() < 0.1),
        "num_keypoints": int((visibility > 0).sum()),
        "keypoints": keypoints.ravel().astype(int).tolist(),
    }


def pycocotools_metrics(content: dict[str, Any], results: list[dict[str, Any]]) -> list[float]:
    """The ten COCO keypoint metrics of pycocotools."""
    with contextlib.redirect_stdout(io.StringIO()):
        gt: Any = COCO()
        gt.dataset = {"info": {}, **content}
        gt.createIndex()
        detections: Any = gt.loadRes([dict(result) for result in results])
        evaluation: Any = COCOeval(gt, detections, "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return list(evaluation.stats)
