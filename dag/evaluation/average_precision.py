"""COCO's average precision and recall of keypoints, computed by pycocotools."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from dag.data.coco_json import coco_dict
from dag.errors import UserError
from dag.person import Person
from dag.prediction import Prediction
from dag.skeleton import Skeleton

METRICS = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L")
"""In the order of pycocotools' `stats`."""

Metrics = dict[str, float | None]


def coco_metrics(persons: Sequence[Person], predictions: Sequence[Prediction], skeleton: Skeleton) -> Metrics:
    """COCO metrics of predictions against rows; None where there is nobody to find (pycocotools' -1).

    Rows without keypoints and crowds are ignored as COCO ignores them. At most 20 predictions of an image count.

    Raises:
        UserError: a prediction of an image that no row belongs to.
    """
    return average_precision(coco_dict(persons, skeleton), results_list(predictions), skeleton)


def results_list(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Predictions in COCO's results format, with the annotation whose box was used as `person_id`.

    A keypoint is x, y, score.
    """
    return [
        {
            "image_id": prediction.image_id,
            "category_id": 1,
            "person_id": prediction.person_id,
            "keypoints": [
                float(value)
                for (x, y), score in zip(prediction.keypoints_xy, prediction.joint_scores)
                for value in (x, y, score)
            ],
            "score": prediction.score,
        }
        for prediction in predictions
    ]


def average_precision(ground_truth: dict[str, Any], results: list[dict[str, Any]], skeleton: Skeleton) -> Metrics:
    """COCO metrics of COCO results against COCO annotations, with the skeleton's sigmas.

    Annotations are renumbered from 1, because pycocotools takes a person with id 0 for one that nobody found; without
    `num_keypoints` their labelled joints are counted.

    Raises:
        UserError: an annotation or result lacks a key or has another number of joints; a result of an unknown image.
    """
    _check_truth(ground_truth, skeleton)
    _check_results(ground_truth, results, skeleton)
    annotations = [
        {"iscrowd": 0, "num_keypoints": _labelled(annotation), **annotation, "id": number}
        for number, annotation in enumerate(ground_truth["annotations"], 1)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = _indexed({**ground_truth, "annotations": annotations})
        copies: Any = [dict(result) for result in results]  # loadRes writes into them
        found = truth.loadRes(copies) if results else _indexed({**ground_truth, "annotations": []})
        evaluation = COCOeval(truth, found, "keypoints")
        evaluation.params.kpt_oks_sigmas = skeleton.sigma_array
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: None if value < 0 else float(value) for name, value in zip(METRICS, evaluation.stats)}


def _indexed(content: dict[str, Any]) -> COCO:
    coco = COCO()
    coco.dataset = {"info": {}, **content}  # type: ignore[assignment]
    coco.createIndex()
    return coco


def _labelled(annotation: dict[str, Any]) -> int:
    return sum(visibility > 0 for visibility in annotation["keypoints"][2::3])


def _check_truth(ground_truth: dict[str, Any], skeleton: Skeleton) -> None:
    for annotation in ground_truth["annotations"]:
        where = f"annotation {annotation.get('id')}"
        _check_keys(annotation, ("image_id", "category_id", "bbox", "area", "keypoints"), where, skeleton)


def _check_results(ground_truth: dict[str, Any], results: list[dict[str, Any]], skeleton: Skeleton) -> None:
    known = {image["id"] for image in ground_truth["images"]}
    for number, result in enumerate(results):
        where = f"result {number}"
        _check_keys(result, ("image_id", "category_id", "keypoints", "score"), where, skeleton)
        if result["image_id"] not in known:
            expected = "an image id of the ground truth"
            raise UserError("unknown image", where=where, expected=expected, got=result["image_id"])


def _check_keys(entry: dict[str, Any], keys: tuple[str, ...], where: str, skeleton: Skeleton) -> None:
    missing = [key for key in keys if key not in entry]
    if missing:
        raise UserError("key missing", where=where, expected=", ".join(keys), got=f"no {missing[0]}")
    count = len(entry["keypoints"])
    if count != 3 * len(skeleton):
        expected = f"{3 * len(skeleton)} ({skeleton.name})"
        raise UserError("keypoint list of wrong length", where=where, expected=expected, got=count)
