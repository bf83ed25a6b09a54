"""Predicted poses: the predictions table, COCO results and the submission archive."""

import json
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

from dag.annotation import table_skeleton
from dag.errors import UserError
from dag.files import whole_file, whole_folder, write_json
from dag.skeleton import Skeleton

PREDICTIONS_FILE = "predictions.parquet"
"""The predictions table in an output folder of stage `predict`."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predicted pose of one person; one row of a predictions table.

    Attributes:
        output: output of the model it comes from: "heatmap", "graph" or "mean_pose".
        image_id: id of the image.
        person_id: id of the annotated person whose box was used; -1 for a detection.
        keypoints_xy: image pixels, pixel-index frame.
        joint_scores: one score per joint, 0 to about 1.
        score: score of the pose (box score times the mean joint score).
    """

    output: str
    image_id: int
    person_id: int
    keypoints_xy: Float[np.ndarray, "J 2"]
    joint_scores: Float[np.ndarray, " J"]
    score: float


def outputs_of(predictions: Sequence[Prediction]) -> dict[str, list[Prediction]]:
    """Group predictions by output, in the order of first appearance."""
    outputs: dict[str, list[Prediction]] = {}
    for prediction in predictions:
        outputs.setdefault(prediction.output, []).append(prediction)
    return outputs


def prediction_schema(skeleton: Skeleton) -> pa.Schema:
    """Arrow schema of predictions; its metadata holds the skeleton (`Skeleton.text`)."""
    fields = [
        ("output", pa.string()),
        ("image_id", pa.int64()),
        ("person_id", pa.int64()),
        ("keypoints_xy", pa.list_(pa.float64(), 2 * len(skeleton))),
        ("joint_scores", pa.list_(pa.float64(), len(skeleton))),
        ("score", pa.float64()),
    ]
    return pa.schema(fields, metadata={"dag.skeleton": skeleton.text})


def write_predictions(path: str | Path, predictions: list[Prediction], skeleton: Skeleton) -> None:
    """Write predictions as parquet, atomically."""
    schema = prediction_schema(skeleton)
    columns = {
        "output": [p.output for p in predictions],
        "image_id": [p.image_id for p in predictions],
        "person_id": [p.person_id for p in predictions],
        "keypoints_xy": [p.keypoints_xy.ravel() for p in predictions],
        "joint_scores": [p.joint_scores for p in predictions],
        "score": [p.score for p in predictions],
    }
    with whole_file(path) as partial:
        pq.write_table(pa.table(columns, schema=schema), partial, compression="zstd")


def read_predictions(path: str | Path) -> tuple[list[Prediction], Skeleton]:
    """Read predictions written by `write_predictions`.

    Raises:
        UserError: missing file or not a table of predictions.
    """
    try:
        table = pq.read_table(path)
    except (FileNotFoundError, pa.ArrowInvalid) as error:
        raise UserError("not a table of predictions", where=path, got=error, do="run `dvc repro predict`") from None
    rows = table.to_pylist()
    skeleton = table_skeleton(table, path)
    arrays = [(np.array(r.pop("keypoints_xy")).reshape(-1, 2), np.array(r.pop("joint_scores"))) for r in rows]
    return [Prediction(**row, keypoints_xy=xy, joint_scores=s) for row, (xy, s) in zip(rows, arrays)], skeleton


def coco_results(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Predictions in COCO's results format; a keypoint is x, y, score.

    Entries of ground-truth boxes also have the `person_id` of the annotation.
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


def write_prediction_folder(folder: Path, predictions: Sequence[Prediction], skeleton: Skeleton) -> None:
    """Write `predictions.parquet` and, for each output, COCO results `<output>.json`; the folder appears atomically."""
    with whole_folder(folder) as partial:
        write_predictions(partial / PREDICTIONS_FILE, list(predictions), skeleton)
        for output, poses in outputs_of(predictions).items():
            write_json(partial / f"{output}.json", coco_results(poses))


def write_submission(folder: Path, predictions: Sequence[Prediction], *, split: str, name: str) -> Path:
    """Write the archive that COCO's evaluation server accepts: one `person_keypoints_<split>2017_<name>_results.json`.

    Returns:
        Path of the zip file.

    Raises:
        UserError: no predictions, or a name with characters other than letters, digits and `. _ -`.
    """
    if not predictions:
        raise UserError("no predictions to submit", where=folder, expected="predictions of this output", got=0)
    if not re.fullmatch(r"[\w.-]+", name):
        raise UserError("not a name", expected="letters, digits, . _ -", got=repr(name))
    stem = f"person_keypoints_{split}2017_{name}_results"
    entries = [
        {key: entry[key] for key in ("image_id", "category_id", "keypoints", "score")}
        for entry in coco_results(predictions)
    ]
    with whole_file(folder / f"{stem}.zip") as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{stem}.json", json.dumps(entries, allow_nan=False))
    return folder / f"{stem}.zip"
