"""How good predictions are. `evaluate_keypoints` is the way in for files of any origin."""

from pathlib import Path
from typing import Any

from dag.errors import UserError
from dag.evaluation.average_precision import Metrics, average_precision
from dag.files import read_json
from dag.skeleton import SKELETONS, Skeleton

PROTOCOLS = ("coco",)


def evaluate_keypoints(
    ground_truth: str | Path | dict[str, Any],
    results: str | Path | list[dict[str, Any]],
    protocol: str = "coco",
) -> Metrics:
    """AP and AR of a COCO results file against a COCO annotation file, either given by path or as its content.

    Args:
        ground_truth: `images`, `annotations`, `categories`; the first category's joints choose the skeleton.
        results: a list of `image_id`, `category_id`, `keypoints` (x, y, score), `score`.
        protocol: "coco": pycocotools' figures, with the skeleton's own sigmas.

    Raises:
        UserError: unknown protocol (the known ones are named), a file that is not what it should be.
    """
    if protocol not in PROTOCOLS:
        raise UserError("unknown protocol", expected=f"one of {', '.join(PROTOCOLS)}", got=repr(protocol))
    truth = ground_truth if isinstance(ground_truth, dict) else read_json(ground_truth)
    found = results if isinstance(results, list) else read_json(results)
    if not isinstance(truth, dict) or not {"images", "annotations", "categories"} <= truth.keys():
        raise UserError("not COCO annotations", where=ground_truth, expected="images, annotations, categories")
    if not isinstance(found, list) or not all(isinstance(result, dict) for result in found):
        raise UserError("not COCO results", where=results, expected="a list of results", got=type(found).__name__)
    return average_precision(truth, found, _skeleton_of(truth))


def _skeleton_of(truth: dict[str, Any]) -> Skeleton:
    """The known skeleton whose joint names the first category has."""
    joints = tuple(truth["categories"][0].get("keypoints", ())) if truth["categories"] else ()
    for skeleton in SKELETONS.values():
        if skeleton.joints == joints:
            return skeleton
    known = "; ".join(f"{skeleton.name}: {', '.join(skeleton.joints)}" for skeleton in SKELETONS.values())
    raise UserError("unknown joints in the first category", expected=known, got=list(joints))
