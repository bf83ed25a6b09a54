"""Evidence for the locations of unlabelled joints: anatomical prior, poses of other models, and their calibration."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dag.annotation import PersonAnnotation
from dag.relabel.calibration import Calibration, calibrate, model_errors
from dag.relabel.model_poses import ModelPoses
from dag.relabel.prior import PosePrior, fit_prior
from dag.skeleton import Skeleton


@dataclass(frozen=True, eq=False)
class Evidence:
    """Sources of proposed locations.

    Attributes:
        prior: None where too few persons were available to fit it.
        models: poses of other models.
        errors: standard deviation of each model in OKS units, by its name.
        calibration: of the combination of all sources.
    """

    prior: PosePrior | None
    models: Sequence[ModelPoses]
    errors: Mapping[str, float]
    calibration: Calibration

    def subset(self, person_ids: Iterable[int]) -> "Evidence":
        """The same evidence with the models' poses of these persons only."""
        chosen = set(person_ids)
        models = [
            replace(poses, of_person={key: xy for key, xy in poses.of_person.items() if key in chosen})
            for poses in self.models
        ]
        return replace(self, models=models)


def fit_evidence(
    persons: Sequence[PersonAnnotation], models: Sequence[ModelPoses], skeleton: Skeleton, seed: int
) -> Evidence:
    """Prior, model errors and calibration, fitted on `fitting_persons`.

    A model without a pose for any of them has its error measured on `persons`. If no model has one, the persons that
    models do have poses for are added to the calibration.
    """
    fitted_on = fitting_persons(persons)
    with_pose = {person_id for poses in models for person_id in poses.of_person}
    any_pose = any(person.person_id in with_pose for person in fitted_on)
    errors = model_errors(models, fitted_on, skeleton) | model_errors(
        [poses for poses in models if not any(p.person_id in poses.of_person for p in fitted_on)], persons, skeleton
    )
    calibrated_on = (
        fitted_on if any_pose or not models else [*fitted_on, *(p for p in persons if p.person_id in with_pose)]
    )
    return Evidence(
        prior=fit_prior(fitted_on, skeleton, np.random.default_rng((seed, 0))),
        models=models,
        errors=errors,
        calibration=calibrate(calibrated_on, models, errors, skeleton, np.random.default_rng((seed, 1))),
    )


def fitting_persons(persons: Sequence[PersonAnnotation]) -> list[PersonAnnotation]:
    """Persons of the train split; all persons where there is no train split."""
    return [person for person in persons if person.split == "train"] or list(persons)
