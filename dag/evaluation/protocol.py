"""A protocol: whose rows, which boxes, what is written."""

import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from dag.errors import UserError
from dag.evaluation.arrays import Results, Truth, results_of
from dag.evaluation.figures import Figures, headline
from dag.evaluation.nms import oks_nms, soft_oks_nms
from dag.files import whole_file, whole_folder, write_json
from dag.person import Person, Source, read_table, table_skeleton, table_to_persons
from dag.prediction import Prediction, outputs_of, write_predictions
from dag.skeleton import Skeleton

SUPPRESSIONS = {"hard": oks_nms, "soft": soft_oks_nms}


def rows_of(path: Path, split: str) -> tuple[list[Person], Skeleton]:
    """Rows of a split; none where its annotations are not public (COCO's test-dev)."""
    table = read_table(path)
    return table_to_persons(table.filter(np.array(table["split"]) == split)), table_skeleton(table, path)


def suppress(
    predictions: Sequence[Prediction],
    areas: Float[np.ndarray, " n"],
    skeleton: Skeleton,
    *,
    nms: str,
    threshold: float,
) -> list[Prediction]:
    """What is left of each output when poses that are nearly the same are left out.

    Args:
        predictions: of each output one for every box, in the order of the boxes.
        areas: of the boxes' crops.
        nms: key of `SUPPRESSIONS`.
        threshold: of OKS.
    """
    kept: list[Prediction] = []
    for found in outputs_of(predictions).values():
        kept += [
            found[index]
            for index in SUPPRESSIONS[nms](results_of(found, skeleton), areas, skeleton.sigma_array, threshold)
        ]
    return kept


def relabelled_joints(truth: Truth) -> dict[str, int]:
    """Labelled joints of people who should be found by who relabelled them; nothing where nobody did.

    `proposed`: a model's results told the place, and that model is favoured where it is judged on them.
    """
    labelled = (truth.visibility > 0) & truth.wanted[:, None]
    counts = {
        source.name.lower(): int((truth.source[labelled] == source).sum())
        for source in (Source.RELABELLED, Source.PROPOSED, Source.REVIEWED)
    }
    return counts if any(counts.values()) else {}


def protocol_metrics(figures: Mapping[str, Figures], output: str) -> dict[str, Any]:
    """What experiments are compared by.

    Args:
        figures: of every output, `all_figures`.
        output: whose `headline` it is; "heatmap", or the first, takes its place where there is no such output.

    Returns:
        `output`, `people`, its headline, and of the other outputs AP and AP_most_occluded.
    """
    chosen = next(name for name in (output, "heatmap", *figures) if name in figures)
    brief = {
        name: {key: other[key] for key in ("AP", "AP_most_occluded") if key in other}
        for name, other in figures.items()
        if name != chosen
    }
    return {"output": chosen, "people": figures[chosen]["people"], **headline(figures[chosen]), **brief}


def results_list(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Predictions in COCO's results format; a keypoint is x, y, score.

    `person_id` is the annotation whose box was used, where one was.
    """
    return [
        {
            "image_id": prediction.image_id,
            "category_id": 1,
            **({"person_id": prediction.person_id} if prediction.person_id >= 0 else {}),
            "keypoints": np.column_stack([prediction.keypoints_xy, prediction.joint_scores]).ravel().tolist(),
            "score": prediction.score,
        }
        for prediction in predictions
    ]


def write_protocol(folder: Path, predictions: Sequence[Prediction], skeleton: Skeleton) -> None:
    """Write `predictions.parquet` and, for each output, COCO results `<output>.json`; all or nothing."""
    with whole_folder(folder) as partial:
        write_predictions(partial / "predictions.parquet", list(predictions), skeleton)
        for output, found in outputs_of(predictions).items():
            write_json(partial / f"{output}.json", results_list(found))


def write_submission(folder: Path, predictions: Sequence[Prediction], *, split: str, name: str) -> Path:
    """Write a zip as COCO's server takes it: `person_keypoints_<split>2017_<name>_results.json`, zipped alone.

    Raises:
        UserError: nothing was predicted, or a name that is no part of a file's name.
    """
    if not predictions:
        raise UserError("nothing to submit", where=folder, expected="predictions of this output", got=0)
    if not re.fullmatch(r"[\w.-]+", name):
        raise UserError("not a name", expected="letters, digits, . _ -", got=repr(name))
    stem = f"person_keypoints_{split}2017_{name}_results"
    entries = [
        {key: entry[key] for key in ("image_id", "category_id", "keypoints", "score")}
        for entry in results_list(predictions)
    ]
    with whole_file(folder / f"{stem}.zip") as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{stem}.json", json.dumps(entries, allow_nan=False))
    return folder / f"{stem}.zip"


def results_by_output(predictions: Sequence[Prediction], skeleton: Skeleton) -> dict[str, Results]:
    """Predictions as arrays, by output."""
    return {output: results_of(found, skeleton) for output, found in outputs_of(predictions).items()}
