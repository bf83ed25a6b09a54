"""Relabelling (COCO-RE) of the persons of an image or a data set: candidates with labels and decisions."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from dag.annotation import Occluder, PersonAnnotation, Source, Visibility
from dag.parallel import Workers
from dag.relabel.calibration import Calibration
from dag.relabel.candidates import ACCEPTED, QUEUED, Candidate, annotated_candidate
from dag.relabel.evaluated_proposals import group_of
from dag.relabel.evidence import Evidence
from dag.relabel.occluder import OCCLUDER_OF, Points, Reason, occluder_reasons
from dag.relabel.proposals import Proposal, oks_units, propose
from dag.skeleton import Skeleton

IMAGES_PER_TASK = 64
BORDER = 2.0
"""Largest distance in pixels between the box of a truncated person and the image border."""
MIN_INSIDE = 0.5
"""An unlabelled joint is a candidate if it lies inside the image with at least this probability."""


def relabel_persons(
    persons: Sequence[PersonAnnotation],
    skeleton: Skeleton,
    evidence: Evidence,
    *,
    margin: float,
    min_confidence: float,
    workers: Workers,
) -> list[Candidate]:
    """Candidates of all persons, in the order of `persons` and of joints. See `relabel_image`."""
    images: dict[tuple[str, str, int], list[PersonAnnotation]] = defaultdict(list)
    for person in persons:
        images[person.dataset, person.split, person.image_id].append(person)
    chosen = [image for image in images.values() if any(map(_may_have_candidates, image))]
    batches = [chosen[start : start + IMAGES_PER_TASK] for start in range(0, len(chosen), IMAGES_PER_TASK)]
    tasks = (
        (batch, skeleton, evidence.subset(p.person_id for image in batch for p in image), margin, min_confidence)
        for batch in batches
    )
    candidates = chain.from_iterable(workers.map(_relabel_images, tasks, "images", len(batches)))
    order = {(person.split, person.person_id): index for index, person in enumerate(persons)}
    return sorted(candidates, key=lambda row: order[row.person])


def _may_have_candidates(person: PersonAnnotation) -> bool:
    return not person.is_crowd and bool((person.visibility <= Visibility.OCCLUDED).any())


def _relabel_images(
    images: Sequence[Sequence[PersonAnnotation]],
    skeleton: Skeleton,
    evidence: Evidence,
    margin: float,
    min_confidence: float,
) -> list[Candidate]:
    options = {"margin": margin, "min_confidence": min_confidence}
    return [row for persons in images for row in relabel_image(persons, skeleton, evidence, **options)]


def relabel_image(
    persons: Sequence[PersonAnnotation],
    skeleton: Skeleton,
    evidence: Evidence,
    *,
    margin: float,
    min_confidence: float,
) -> list[Candidate]:
    """Candidates of one image: joints annotated as occluded, and unlabelled joints that should lie inside it.

    A candidate is accepted if the masks determine its occluder and its location was annotated or is confident enough.
    Unlabelled joints of truncated persons are queued, because most of them lie outside the image.

    Args:
        persons: all annotations of the image.
        margin: radius in pixels around a joint in which the masks must give the same occluder.
        min_confidence: for accepting a location that was not annotated.
    """
    proposals = [_unlabelled(person, skeleton, evidence) for person in persons]
    points = [
        {**_occluded(person), **{joint: one.xy for joint, one in proposed.items()}}
        for person, proposed in zip(persons, proposals)
    ]
    rows = []
    for person, proposed, reasons in zip(persons, proposals, occluder_reasons(persons, points, margin)):
        units, known = oks_units(person, skeleton), int((person.visibility > 0).sum())
        for joint in sorted(reasons):
            row = replace(annotated_candidate(person, joint, skeleton), visibility=int(Visibility.RELABELLED))
            reason = reasons[joint]
            if joint in proposed:
                row = _with_proposal(row, person, proposed[joint], float(units[joint]), known, evidence.calibration)
                reason = Reason.TRUNCATED if is_truncated(person) else reason
            occluder = OCCLUDER_OF.get(reason, Occluder.UNKNOWN)
            accepted = occluder != Occluder.UNKNOWN and row.confidence >= min_confidence
            label = {"occluder": occluder.name.lower(), "reason": reason.value}
            rows.append(replace(row, **label, decision=ACCEPTED if accepted else QUEUED))
    return rows


def is_truncated(person: PersonAnnotation) -> bool:
    """Whether the person's box is within `BORDER` pixels of the image border."""
    left, top, width, height = person.bbox_xywh
    beyond = (left + width - person.image_width, top + height - person.image_height)
    return bool(min(left, top) <= BORDER or max(beyond) >= -BORDER)


def _occluded(person: PersonAnnotation) -> Points:
    """Joints annotated as occluded; none where visibility states only that a joint is labelled."""
    states_occlusion = person.visibility_source != Source.LABEL_FLAG_ONLY
    occluded = (person.visibility == Visibility.OCCLUDED) & states_occlusion & (not person.is_crowd)
    return {int(joint): person.keypoints_xy[joint] for joint in np.flatnonzero(occluded)}


def _unlabelled(person: PersonAnnotation, skeleton: Skeleton, evidence: Evidence) -> dict[int, Proposal]:
    """Proposals for the unlabelled joints that should lie inside the image."""
    unlabelled = person.visibility == Visibility.UNLABELLED
    if person.is_crowd or person.area <= 0 or not unlabelled.any():
        return {}
    known = person.visibility > 0
    proposals = propose(person, known, unlabelled, evidence.prior, evidence.models, evidence.errors, skeleton)
    units, count = oks_units(person, skeleton), int(known.sum())
    deviations = {
        joint: units[joint] * evidence.calibration.uncertainty(proposal, group_of(count, proposal))
        for joint, proposal in proposals.items()
    }
    return {
        joint: proposal
        for joint, proposal in proposals.items()
        if _probability_inside(person, proposal, deviations[joint]) >= MIN_INSIDE
    }


def _probability_inside(person: PersonAnnotation, proposal: Proposal, deviation: float) -> float:
    """Probability that a joint lies inside the image; `deviation` in pixels."""
    from scipy.special import ndtr

    last = np.array([person.image_width, person.image_height]) - 0.5
    deviation = max(deviation, 1e-6)
    return float((ndtr((last - proposal.xy) / deviation) - ndtr((-0.5 - proposal.xy) / deviation)).prod())


def _with_proposal(
    row: Candidate, person: PersonAnnotation, proposal: Proposal, unit: float, known: int, calibration: Calibration
) -> Candidate:
    """The candidate at its proposed location; `unit` is the joint's OKS unit in pixels."""
    group = group_of(known, proposal)
    uncertainty = calibration.uncertainty(proposal, group)
    return replace(
        row,
        x=float(proposal.xy[0]),
        y=float(proposal.xy[1]),
        confidence=calibration.confidence(proposal, group) * _probability_inside(person, proposal, unit * uncertainty),
        uncertainty=uncertainty,
        disagreement=proposal.disagreement,
        sources=proposal.sources,
    )
