"""How good predictions are. `evaluate_keypoints` is the way in for files of any origin."""

from pathlib import Path
from typing import Any

from dag.errors import UserError
from dag.skeleton import Skeleton

PROTOCOLS = ("coco", "crowdpose", "ochuman", "lsp_extended", "synthetic")


def evaluate_keypoints(
    ground_truth: str | Path | dict[str, Any],
    results: str | Path | list[dict[str, Any]],
    protocol: str = "coco",
    skeleton: Skeleton | None = None,
) -> dict[str, float | int | None]:
    """Every figure of docs/metrics.md, of COCO results against COCO annotations, given by path or as their content.

    Args:
        ground_truth: `images`, `annotations`, `categories`; the first category's joints choose the skeleton.
        results: a list of `image_id`, `category_id`, `keypoints` (x, y, score), `score`; a result may name the
            annotation in whose box it was sought (`person_id`).
        protocol: "crowdpose" takes .53 of the box for a person's area, as its evaluator does; the others take the
            annotations' areas. Crowd bands are told where images have a `crowdIndex`, MaxIoU bands where people have
            `max_iou`.
        skeleton: of joints that no known skeleton has.

    Returns:
        `AP AP50 AP75 AP_M AP_L AR AR50 AR75 AR_M AR_L` first, None where there is nobody to find; 0 where nothing was
        found; the rest of `all_metrics` by dotted names.

    Raises:
        UserError: unknown protocol (the known ones are named), or files that are not what they should be.
    """
    from dag.evaluation.coco.files import read_ground_truth, read_results
    from dag.evaluation.metrics import all_metrics, flat

    if protocol not in PROTOCOLS:
        raise UserError("unknown protocol", expected=f"one of {', '.join(PROTOCOLS)}", got=repr(protocol))
    loaded, skeleton = read_ground_truth(ground_truth, area_from_box=protocol == "crowdpose", skeleton=skeleton)
    return flat(all_metrics(loaded, read_results(results, loaded, skeleton), skeleton))
