"""Labels of predicted poses, with their evaluation against the annotated persons."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from dag.annotation import PersonAnnotation
from dag.errors import UserError
from dag.evaluation import Evaluation
from dag.evaluation.coco.arrays import Results, ground_truth_of
from dag.evaluation.diagnosis import Diagnosis, ErrorKind
from dag.review.fields import GROUND_TRUTH_FIELDS, METRIC_FIELDS
from dag.review.labels import Document, prediction_label
from dag.skeleton import Skeleton

SAMPLE_FIELDS = ("id", "image_id", "filepath", "tags", "metadata", "created_at", "last_modified_at")
RESERVED = (*GROUND_TRUTH_FIELDS, *METRIC_FIELDS, *SAMPLE_FIELDS)

Poses = dict[tuple[str, int], list[Document]]
"""Labels by output and image id."""


def headline_output(outputs: Sequence[str]) -> str | None:
    """The output that `worst_oks` is of and that is shown at first: graph, else heatmap, else any but mean_pose."""
    ranked = ("graph", "heatmap", *(output for output in outputs if output != "mean_pose"), "mean_pose")
    return next((output for output in ranked if output in outputs), None)


def pose_labels(persons: Sequence[PersonAnnotation], outputs: Mapping[str, Results], skeleton: Skeleton) -> Poses:
    """Labels of predictions, with their evaluation; images without annotations are left out.

    Raises:
        UserError: a person is unknown or predicted twice by one output, or an output has a name that is in use.
    """
    labels: Poses = {}
    for output, results in outputs.items():
        if output in RESERVED or not output.isidentifier():
            where, expected = f"output {output!r}", f"a word, none of {', '.join(RESERVED)}"
            raise UserError("bad name of an output", where=where, expected=expected)
        _check_people(output, results, persons)
        labels |= _labels(output, persons, results, skeleton)
    return labels


def _check_people(output: str, results: Results, persons: Sequence[PersonAnnotation]) -> None:
    known = {(person.image_id, person.person_id) for person in persons}
    seen = set()
    for key in zip(results.image_id.tolist(), results.person_id.tolist()):
        where = f"prediction of output {output!r}, image {key[0]}, person {key[1]}"
        if key[1] >= 0 and key not in known:
            raise UserError(
                "no such person in the annotations", where=where, do="run `dvc repro evaluate`, or give the split"
            )
        if key[1] >= 0 and key in seen:
            raise UserError(
                "predicted twice", where=where, expected="one prediction for each person", do="evaluate again"
            )
        seen.add(key)


def _labels(output: str, persons: Sequence[PersonAnnotation], results: Results, skeleton: Skeleton) -> Poses:
    gt = ground_truth_of(persons, skeleton)
    evaluation = Evaluation(gt, results, skeleton)
    diagnosis = evaluation.diagnosis
    strata = {name: mask for name, mask in evaluation.strata.items() if name.startswith(("occluded", "crowd", "max"))}
    shown = {person.image_id: person for person in persons}
    labels: Poses = defaultdict(list)
    for index in range(len(results)):
        image_id, owner = int(results.image_id[index]), int(diagnosis.person[index])
        if image_id in shown:
            label = prediction_label(
                shown[image_id],
                results.keypoints_xy[index],
                results.joint_scores[index],
                score=float(results.score[index]),
                person=persons[owner] if owner >= 0 else None,
                oks=_mean(diagnosis.similarity[index]),
                kinds=diagnosis.kind[index],
                swapped_with=_swapped_with(diagnosis, index, gt.person_id),
                strata=[name for name, mask in strata.items() if owner >= 0 and mask[owner]],
            )
            labels[output, image_id].append(label)
    return labels


def _mean(similarity: Float[np.ndarray, " J"]) -> float | None:
    evaluated = ~np.isnan(similarity)
    return float(similarity[evaluated].mean()) if evaluated.any() else None


def _swapped_with(diagnosis: Diagnosis, index: int, person_id: Int[np.ndarray, " P"]) -> int | None:
    """The person that most swapped joints belong to."""
    owners = diagnosis.swapped_with[index][diagnosis.kind[index] == ErrorKind.SWAP]
    return int(person_id[np.bincount(owners).argmax()]) if len(owners) else None
