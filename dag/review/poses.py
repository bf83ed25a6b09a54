"""Labels of predicted poses in the App, with their evaluation against the annotations."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int

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
    """The output of `worst_oks`, visible by default: graph, else heatmap, else any other, mean_pose last."""
    ranked = ("graph", "heatmap", *(output for output in outputs if output != "mean_pose"), "mean_pose")
    return next((output for output in ranked if output in outputs), None)


def pose_labels(persons: Sequence[PersonAnnotation], outputs: Mapping[str, Results], skeleton: Skeleton) -> Poses:
    """Labels of the predictions of every output; images without annotations are left out.

    Raises:
        UserError: an output with an invalid or reserved name, or with an unknown person or two predictions of a person.
    """
    labels: Poses = {}
    for output, results in outputs.items():
        if output in RESERVED or not output.isidentifier():
            where, expected = f"output {output!r}", f"a word, none of {', '.join(RESERVED)}"
            raise UserError("invalid name of an output", where=where, expected=expected)
        _check_persons(output, results, persons)
        labels |= _labels(output, persons, results, skeleton)
    return labels


def _check_persons(output: str, results: Results, persons: Sequence[PersonAnnotation]) -> None:
    known = {(person.image_id, person.person_id) for person in persons}
    seen = set()
    for key in zip(results.image_id.tolist(), results.person_id.tolist()):
        where = f"prediction of output {output!r}, image {key[0]}, person {key[1]}"
        if key[1] >= 0 and key not in known:
            do = "run `dvc repro predict`, or choose the split"
            raise UserError("unknown person", where=where, expected="a person of the annotations", do=do)
        if key[1] >= 0 and key in seen:
            do = "run `dvc repro predict`"
            raise UserError("duplicate prediction", where=where, expected="one prediction per person", do=do)
        seen.add(key)


def _labels(output: str, persons: Sequence[PersonAnnotation], results: Results, skeleton: Skeleton) -> Poses:
    gt = ground_truth_of(persons, skeleton)
    evaluation = Evaluation(gt, results, skeleton)
    diagnosis = evaluation.diagnosis
    strata = {name: mask for name, mask in evaluation.strata.items() if name.startswith(("occluded", "crowd", "max"))}
    any_person = {person.image_id: person for person in persons}
    labels: Poses = defaultdict(list)
    for index in range(len(results)):
        image_id, owner = int(results.image_id[index]), int(diagnosis.person[index])
        if image_id in any_person:
            label = prediction_label(
                any_person[image_id],
                results.keypoints_xy[index],
                results.joint_scores[index],
                score=float(results.score[index]),
                person=persons[owner] if owner >= 0 else None,
                oks=float(evaluation.person_oks[owner]) if owner >= 0 else None,
                kinds=diagnosis.kind[index],
                swapped_with=_swapped_with(diagnosis, index, gt.person_id),
                strata=[name for name, mask in strata.items() if owner >= 0 and mask[owner]],
            )
            labels[output, image_id].append(label)
    return labels


def _swapped_with(diagnosis: Diagnosis, index: int, person_id: Int[np.ndarray, " P"]) -> int | None:
    """Id of the person that most swapped joints belong to; None without swaps."""
    owners = diagnosis.swapped_with[index][diagnosis.kind[index] == ErrorKind.SWAP]
    return int(person_id[np.bincount(owners).argmax()]) if len(owners) else None
