"""What a model says of one person; one row of a predictions table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

from dag.errors import UserError
from dag.files import whole_file
from dag.person import table_skeleton
from dag.skeleton import Skeleton


@dataclass(frozen=True, eq=False)
class Prediction:
    """A predicted pose.

    Attributes:
        output: what made it: "heatmap", "graph" or "mean_pose".
        image_id: the photograph.
        person_id: the annotated person whose box was used.
        keypoints_xy: image pixels, pixel-index frame.
        joint_scores: a score a joint, 0 to about 1.
        score: the person's score (box score times the mean joint score).
    """

    output: str
    image_id: int
    person_id: int
    keypoints_xy: Float[np.ndarray, "J 2"]
    joint_scores: Float[np.ndarray, " J"]
    score: float


def outputs_of(predictions: Sequence[Prediction]) -> dict[str, list[Prediction]]:
    """Predictions by output, in the order of first appearance."""
    outputs: dict[str, list[Prediction]] = {}
    for prediction in predictions:
        outputs.setdefault(prediction.output, []).append(prediction)
    return outputs


def prediction_schema(skeleton: Skeleton) -> pa.Schema:
    """Arrow schema of predictions; the skeleton's name is in its metadata."""
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
    """Write predictions as parquet, whole or not at all."""
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
        raise UserError("not a table of predictions", where=path, got=error, do="run `dvc repro evaluate`") from None
    rows = table.to_pylist()
    skeleton = table_skeleton(table, path)
    arrays = [(np.array(r.pop("keypoints_xy")).reshape(-1, 2), np.array(r.pop("joint_scores"))) for r in rows]
    return [Prediction(**row, keypoints_xy=xy, joint_scores=s) for row, (xy, s) in zip(rows, arrays)], skeleton
