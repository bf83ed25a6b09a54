"""All figures of a protocol's outputs side by side, and the files that hold its predictions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dag.evaluation.average_precision import coco_metrics, results_list
from dag.evaluation.occlusion import occlusion_metrics
from dag.files import whole_folder, write_json
from dag.person import Person
from dag.prediction import Prediction, write_predictions
from dag.skeleton import Skeleton


def evaluated_people(persons: Sequence[Person]) -> list[Person]:
    """Those whose boxes are given to the model: no crowds, at least one labelled joint (HRNet, TEST.USE_GT_BBOX)."""
    return [person for person in persons if person.num_keypoints > 0 and not person.is_crowd]


def outputs_of(predictions: Sequence[Prediction]) -> dict[str, list[Prediction]]:
    """Predictions by output, in the order of first appearance."""
    outputs: dict[str, list[Prediction]] = {}
    for prediction in predictions:
        outputs.setdefault(prediction.output, []).append(prediction)
    return outputs


def protocol_metrics(
    persons: Sequence[Person], predictions: Sequence[Prediction], skeleton: Skeleton, headline: str
) -> dict[str, Any]:
    """Figures of every output.

    Args:
        persons: all rows of the photographs, crowds and people without keypoints among them.
        headline: the output that "AP" is of; "heatmap" takes its place where there is no such output.

    Returns:
        `output` and its `AP`, number of `people`, and for each output what `coco_metrics` and `occlusion_metrics` give.
    """
    outputs = outputs_of(predictions)
    figures = {
        output: {**coco_metrics(persons, found, skeleton), **occlusion_metrics(persons, found, skeleton)}
        for output, found in outputs.items()
    }
    output = headline if headline in figures else "heatmap"
    return {"output": output, "AP": figures[output]["AP"], "people": len(evaluated_people(persons)), **figures}


def write_protocol(folder: Path, predictions: Sequence[Prediction], skeleton: Skeleton) -> None:
    """Write `predictions.parquet` and, for each output, COCO results `<output>.json`; all or nothing."""
    with whole_folder(folder) as partial:
        write_predictions(partial / "predictions.parquet", list(predictions), skeleton)
        for output, found in outputs_of(predictions).items():
            write_json(partial / f"{output}.json", results_list(found))
