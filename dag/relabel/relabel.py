"""COCO-RE of an image and of a data set: candidates, their proposals, evidence, and thresholds."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from scipy.special import ndtr

from dag.annotation import Occluder, PersonAnnotation, Source, Visibility
from dag.parallel import Workers
from dag.relabel.calibration import Calibration, group_of
from dag.relabel.candidates import ACCEPTED, QUEUED, Candidate
from dag.relabel.occluder import OCCLUDER_OF, Points, Reason, decide
from dag.relabel.model_poses import ModelPoses
from dag.relabel.prior import PosePrior
from dag.relabel.proposals import Proposal, oks_units, propose
from dag.skeleton import Skeleton

BUNDLE = 64
"""Images that a worker takes at a time."""
BORDER = 2.0
"""Pixels from the image's border within which a box reaches it."""
LEAST_INSIDE = 0.5
"""A joint that nobody labelled is a candidate where it lies in the image with this probability."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What places are proposed from.

    Attributes:
        prior: None where too few whole poses were there to learn from.
        models: other models' poses.
        errors: their standard deviation in OKS units.
        calibration: of what all of them together state.
    """

    prior: PosePrior | None
    models: Sequence[Poses]
    errors: Mapping[str, float]
    calibration: Calibration

    def of(self, person_ids: Iterable[int]) -> "Evidence":
        """The part that is about some people."""
        wanted = set(person_ids)
        kept = [
            replace(poses, of_person={number: xy for number, xy in poses.of_person.items() if number in wanted})
            for poses in self.models
        ]
        return replace(self, models=kept)


def relabel(
    persons: Sequence[PersonAnnotation],
    skeleton: Skeleton,
    evidence: Evidence,
    *,
    margin: float,
    min_confidence: float,
    workers: Workers,
) -> list[Candidate]:
    """Every candidate joint, in the order of `persons` and of joints: see `relabel_image`."""
    images: dict[tuple[str, str, int], list[PersonAnnotation]] = defaultdict(list)
    for person in persons:
        images[person.dataset, person.split, person.image_id].append(person)
    unsure = [people for people in images.values() if any(map(_has_candidates, people))]
    bundles = [unsure[start : start + BUNDLE] for start in range(0, len(unsure), BUNDLE)]
    ids = [[person.person_id for people in bundle for person in people] for bundle in bundles]
    tasks = ((b, skeleton, evidence.of(those), margin, min_confidence) for b, those in zip(bundles, ids))
    found = chain.from_iterable(workers.map(_relabel_all, tasks, "images", len(bundles)))
    order = {(person.split, person.person_id): number for number, person in enumerate(persons)}
    return sorted(found, key=lambda row: order[row.person])


def _has_candidates(person: PersonAnnotation) -> bool:
    return not person.is_crowd and bool((person.visibility <= Visibility.OCCLUDED).any())


def _relabel_all(
    images: Sequence[Sequence[PersonAnnotation]],
    skeleton: Skeleton,
    evidence: Evidence,
    margin: float,
    min_confidence: float,
) -> list[Candidate]:
    options = {"margin": margin, "min_confidence": min_confidence}
    return [row for people in images for row in relabel_image(people, skeleton, evidence, **options)]


def relabel_image(
    people: Sequence[PersonAnnotation], skeleton: Skeleton, evidence: Evidence, *, margin: float, min_confidence: float
) -> list[Candidate]:
    """Candidates of one image: joints annotated as occluded, and unlabelled ones that should lie in it.

    A joint is accepted where the masks tell what hides it and its place was annotated or is confident enough. Who is
    cut off by the image's border has joints outside, which is why nobody labelled them: theirs are queued.

    Args:
        people: everybody in it.
        margin: pixels round a joint in which the masks' answer must be the same everywhere.
        min_confidence: of a place that was not annotated.
    """
    proposals = [_unlabelled(person, skeleton, evidence) for person in people]
    points = [
        {**_occluded(person), **{j: one.xy for j, one in found.items()}} for person, found in zip(people, proposals)
    ]
    rows = []
    for person, found, reasons in zip(people, proposals, decide(people, points, margin)):
        units, known = oks_units(person, skeleton), int((person.visibility > 0).sum())
        for joint in sorted(reasons):
            row = replace(annotated(person, joint, skeleton), visibility=int(Visibility.RELABELLED))
            if joint in found:
                row = _placed(row, person, found[joint], float(units[joint]), known, evidence.calibration)
            reason = Reason.CUT_OFF if joint in found and is_cut_off(person) else reasons[joint]
            occluder = OCCLUDER_OF.get(reason, Occluder.UNKNOWN)
            sure = occluder != Occluder.UNKNOWN and row.confidence >= min_confidence
            named = {"occluder": occluder.name.lower(), "reason": reason.value}
            rows.append(replace(row, **named, decision=ACCEPTED if sure else QUEUED))
    return rows


def is_cut_off(person: PersonAnnotation) -> bool:
    """The person's box reaches the image's border, within `BORDER` pixels."""
    left, top, width, height = person.bbox_xywh
    beyond = (left + width - person.image_width, top + height - person.image_height)
    return bool(min(left, top) <= BORDER or max(beyond) >= -BORDER)


def _occluded(person: PersonAnnotation) -> Points:
    """Joints annotated as occluded. Where the set's number tells only that a joint is labelled, none is."""
    told = person.visibility_source != Source.LABEL_FLAG_ONLY
    occluded = (person.visibility == Visibility.OCCLUDED) & told & (not person.is_crowd)
    return {int(joint): person.keypoints_xy[joint] for joint in np.flatnonzero(occluded)}


def _unlabelled(person: PersonAnnotation, skeleton: Skeleton, evidence: Evidence) -> dict[int, Proposal]:
    """Proposals for the joints without label that should lie in the image."""
    asked = person.visibility == Visibility.UNLABELLED
    if person.is_crowd or person.area <= 0 or not asked.any():
        return {}
    known = person.visibility > 0
    found = propose(person, known, asked, evidence.prior, evidence.models, evidence.errors, skeleton)
    units, count = oks_units(person, skeleton), int(known.sum())
    deviations = {j: units[j] * evidence.calibration.uncertainty(one, group_of(count, one)) for j, one in found.items()}
    return {j: one for j, one in found.items() if _inside(person, one, deviations[j]) >= LEAST_INSIDE}


def _inside(person: PersonAnnotation, proposal: Proposal, deviation: float) -> float:
    """Probability that a joint lies in the image; deviation in pixels."""
    last = np.array([person.image_width, person.image_height]) - 0.5
    deviation = max(deviation, 1e-6)
    return float((ndtr((last - proposal.xy) / deviation) - ndtr((-0.5 - proposal.xy) / deviation)).prod())


def annotated(person: PersonAnnotation, joint: int, skeleton: Skeleton) -> Candidate:
    """A joint at its annotated place; the occluder and the decision are still open."""
    x, y = (float(value) for value in person.keypoints_xy[joint])
    return Candidate(
        dataset=person.dataset, split=person.split, image_id=person.image_id, person_id=person.person_id,
        joint=skeleton.joints[joint], x_before=x, y_before=y, visibility_before=int(person.visibility[joint]), x=x, y=y,
        visibility=int(person.visibility[joint]), occluder="unknown", confidence=1.0, uncertainty=0.0,
        disagreement=float("nan"), sources=(), reason="", decision=QUEUED,
    )  # fmt: skip


def _placed(
    row: Candidate, person: PersonAnnotation, proposal: Proposal, unit: float, known: int, calibration: Calibration
) -> Candidate:
    """A joint at its proposed place; `unit` is its OKS unit in pixels."""
    group = group_of(known, proposal)
    uncertainty = calibration.uncertainty(proposal, group)
    return replace(
        row,
        x=float(proposal.xy[0]),
        y=float(proposal.xy[1]),
        confidence=calibration.confidence(proposal, group) * _inside(person, proposal, unit * uncertainty),
        uncertainty=uncertainty,
        disagreement=proposal.disagreement,
        sources=proposal.sources,
    )
