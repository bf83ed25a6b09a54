"""`Evaluation`: matching, OKS and diagnosis of one output's predictions against annotations."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from dag.annotation import PersonAnnotation
from dag.errors import UserError
from dag.evaluation.coco.arrays import GroundTruth, Results, ground_truth_of, results_of
from dag.evaluation.coco.average_precision import AREAS, Curves, area_strata, concerned_results, curves_of
from dag.evaluation.coco.files import read_ground_truth, read_results
from dag.evaluation.coco.matching import Matches, Pairs, assigned_persons, match, pair_up
from dag.evaluation.coco.oks import oks
from dag.evaluation.diagnosis import Diagnosis, diagnose, diagnosis_metrics
from dag.evaluation.strata import JointAccuracy, Metrics, joint_accuracy, joint_masks, joint_strata, person_strata
from dag.prediction import Prediction
from dag.skeleton import Skeleton

PROTOCOLS = ("coco", "crowdpose", "ochuman", "lsp_extended", "synthetic")
"""Protocols of `Evaluation.from_coco`. They differ in a person's area, the scale of OKS."""


class Evaluation:
    """Matching of predictions to ground truth, OKS and diagnosis, each computed once, on first access.

    Made from annotations and predictions (`from_annotations`), or from COCO files and a protocol (`from_coco`). Metrics
    (`dag.evaluation.metrics`), plots, the report and the App's labels are all derived from it.

    Attributes:
        ground_truth: P annotated persons.
        results: D predicted poses of one output.
        skeleton: joints and OKS sigmas.
        strata: mask of persons by stratum; None in the constructor: `person_strata`.
    """

    def __init__(
        self,
        ground_truth: GroundTruth,
        results: Results,
        skeleton: Skeleton,
        strata: Mapping[str, Bool[np.ndarray, " P"]] | None = None,
    ):
        self.ground_truth, self.results, self.skeleton = ground_truth, results, skeleton
        self.strata = person_strata(ground_truth) if strata is None else strata

    @classmethod
    def from_annotations(
        cls,
        annotations: Sequence[PersonAnnotation],
        predictions: Sequence[Prediction],
        skeleton: Skeleton,
        image_ids: Sequence[int] = (),
    ) -> "Evaluation":
        """Evaluation of the predictions of one output.

        Args:
            annotations: in any order; a person's `area` is the scale of OKS.
            image_ids: further evaluated images, which may have no persons.
        """
        return cls(ground_truth_of(annotations, skeleton, image_ids), results_of(predictions, skeleton), skeleton)

    @classmethod
    def from_coco(
        cls,
        ground_truth: str | Path | dict[str, Any],
        results: str | Path | list[dict[str, Any]],
        protocol: str = "coco",
        skeleton: Skeleton | None = None,
    ) -> "Evaluation":
        """Evaluation of COCO results against COCO annotations, each given by path or as content.

        Args:
            ground_truth: `images`, `annotations`, `categories`; the first category's joint names select the skeleton.
            results: a list of `image_id`, `category_id`, `keypoints` (x, y, score), `score`; optionally `person_id`,
                the id of the annotation whose box was used.
            protocol: one of `PROTOCOLS`; "crowdpose": a person's area is `BOX_AREA_FRACTION` of the box, as in its
                evaluator; the others: the annotation's area.
            skeleton: for joint names of no known skeleton.

        Raises:
            UserError: unknown protocol, or invalid files.
        """
        if protocol not in PROTOCOLS:
            raise UserError("unknown protocol", expected=f"one of {', '.join(PROTOCOLS)}", got=repr(protocol))
        gt, skeleton = read_ground_truth(ground_truth, area_from_box=protocol == "crowdpose", skeleton=skeleton)
        return cls(gt, read_results(results, gt, skeleton), skeleton)

    @cached_property
    def pairs(self) -> Pairs:
        """OKS of every counted result with every person of its image."""
        return pair_up(self.ground_truth, self.results, self.skeleton.sigma_array)

    @cached_property
    def counted(self) -> Bool[np.ndarray, "S P"]:
        """Evaluated persons of each of COCO's `AREAS`, then of each of `strata`: S rows."""
        return np.concatenate([self._areas[0], self._stack(self.strata) & self.ground_truth.evaluated])

    @cached_property
    def matches(self) -> Matches:
        """COCO's matching in each row of `counted`."""
        concerned = [concerned_results(mask, self.ground_truth, self.results) for mask in self.strata.values()]
        unmatched = np.array(concerned, dtype=bool).reshape(len(self.strata), len(self.results))[:, self.pairs.order]
        return match(self.ground_truth, self.pairs, self.counted, np.concatenate([self._areas[1], unmatched]))

    @cached_property
    def curves(self) -> Curves:
        """Precision over recall in each row of `counted`."""
        return curves_of(self.results, self.pairs, self.matches, self.counted)

    def row(self, stratum: str) -> int:
        """The row of a stratum in `counted`, `matches` and `curves`."""
        return len(AREAS) + list(self.strata).index(stratum)

    @cached_property
    def person_of(self) -> Int[np.ndarray, " D"]:
        """Index of the person that each result is assigned to; -1 for none. At most one result per person."""
        return assigned_persons(self.ground_truth, self.results, self.skeleton.sigma_array)

    @cached_property
    def result_of(self) -> Int[np.ndarray, " P"]:
        """Index of the result that is assigned to each person; -1 for none."""
        index = np.full(len(self.ground_truth), -1)
        index[self.person_of[self.person_of >= 0]] = np.flatnonzero(self.person_of >= 0)
        return index

    @cached_property
    def person_oks(self) -> Float[np.ndarray, " P"]:
        """OKS of the result assigned to each person; 0 without a result, NaN for persons that are not evaluated."""
        gt, assigned = self.ground_truth, self.person_of >= 0
        person = self.person_of[assigned]
        similarity = np.where(gt.evaluated, 0.0, np.nan)
        similarity[person] = oks(
            self.results.keypoints_xy[assigned],
            gt.keypoints_xy[person],
            gt.visibility[person],
            gt.area[person],
            self.skeleton.sigma_array,
        )
        return similarity

    @cached_property
    def diagnosis(self) -> Diagnosis:
        """Kind of error of every labelled joint of the persons with a result."""
        return diagnose(self.ground_truth, self.results, self.person_of, self.skeleton)

    @cached_property
    def joint_accuracy(self) -> JointAccuracy:
        """Similarity, PCK and error of the joints of persons with a result."""
        return joint_accuracy(self.ground_truth, self.results, self.person_of, self.skeleton)

    @cached_property
    def joint_masks(self) -> dict[str, Bool[np.ndarray, "P J"]]:
        """Mask of joints by stratum, see `dag.evaluation.strata.joint_masks`."""
        return joint_masks(self.ground_truth, self.skeleton)

    @cached_property
    def joint_strata(self) -> dict[str, Metrics]:
        """Accuracy by stratum of joints, see `dag.evaluation.strata.joint_strata`."""
        return joint_strata(self.joint_accuracy, self.joint_masks)

    @cached_property
    def diagnosis_metrics(self) -> dict[str, Metrics]:
        """Errors by stratum of joints, see `dag.evaluation.diagnosis.diagnosis_metrics`."""
        return diagnosis_metrics(self.ground_truth, self.diagnosis, self.joint_masks)

    @cached_property
    def _areas(self) -> tuple[Bool[np.ndarray, "A P"], Bool[np.ndarray, "A R"]]:
        return area_strata(self.ground_truth, self.results, self.pairs)

    def _stack(self, masks: Mapping[str, Bool[np.ndarray, " P"]]) -> Bool[np.ndarray, "n P"]:
        return np.array(list(masks.values()), dtype=bool).reshape(len(masks), len(self.ground_truth))
