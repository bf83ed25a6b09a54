"""Predictions set against the people they are of."""

from collections.abc import Mapping, Sequence

import numpy as np

from dag.errors import UserError
from dag.evaluation.oks import oks
from dag.person import Person
from dag.prediction import Prediction
from dag.review.fields import FIGURE_FIELDS, TRUTH_FIELDS
from dag.review.labels import Document, prediction_label
from dag.skeleton import Skeleton

SAMPLE_FIELDS = ("id", "image_id", "filepath", "tags", "metadata", "created_at", "last_modified_at")
RESERVED = (*TRUTH_FIELDS, *FIGURE_FIELDS, *SAMPLE_FIELDS)

Poses = dict[tuple[str, int, int], Document]
"""Labels by output, image id and person id."""


def headline_output(outputs: Sequence[str]) -> str | None:
    """The output that `worst_oks` is of and that is shown at first: graph, else heatmap, else any but mean_pose."""
    ranked = ("graph", "heatmap", *(output for output in outputs if output != "mean_pose"), "mean_pose")
    return next((output for output in ranked if output in outputs), None)


def pose_labels(
    persons: Mapping[tuple[int, int], Person], predictions: Sequence[Prediction], skeleton: Skeleton
) -> Poses:
    """Labels of predictions by output, image id and person id; `persons` by image id and person id.

    Raises:
        UserError: a person is unknown or predicted twice by one output, or an output has a name that is in use.
    """
    found: Poses = {}
    for prediction in predictions:
        key = (prediction.image_id, prediction.person_id)
        where = f"prediction of output {prediction.output!r}, image {key[0]}, person {key[1]}"
        if key not in persons:
            raise UserError("no such person in the rows", where=where, do="run `dvc repro evaluate`, or give the split")
        if (prediction.output, *key) in found:
            raise UserError("predicted twice", where=where, expected="one prediction a person", do="evaluate again")
        if prediction.output in RESERVED or not prediction.output.isidentifier():
            raise UserError("bad name of an output", where=where, expected=f"a word, none of {', '.join(RESERVED)}")
        person = persons[key]
        similarity = oks(
            prediction.keypoints_xy, person.keypoints_xy, person.visibility, np.array(person.area), skeleton.sigma_array
        )
        distance = np.linalg.norm(prediction.keypoints_xy - person.keypoints_xy, axis=-1)
        distance[person.visibility == 0] = np.nan
        found[prediction.output, *key] = prediction_label(person, prediction, float(similarity), distance)
    return found
