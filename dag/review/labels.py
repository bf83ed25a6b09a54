"""FiftyOne labels of annotations and predictions, as the documents that FiftyOne stores in its database.

Building FiftyOne's label objects instead takes eight times as long: 44 s against 5.4 s for 1,008 images. FiftyOne's
coordinates are fractions of the image size with 0, 0 at the corner of the first pixel; the pixel-index frame has 0, 0
at its centre.
"""

from collections.abc import Sequence
from typing import Any

import fiftyone.core.utils
import numpy as np
import pycocotools.mask
from bson import Binary, ObjectId
from jaxtyping import Bool, Float, Int8

from dag.annotation import Occluder, PersonAnnotation, Source, Visibility
from dag.evaluation.diagnosis import ErrorKind
from dag.evaluation.strata import occluded_joints, occlusion_ratio

OCCLUSION_CLASSES = ("visible", "partly occluded", "mostly occluded")
BOX_LABELS = ("person", "person without keypoints", "crowd")

Document = dict[str, Any]


def occlusion_class(person: PersonAnnotation) -> str:
    """One of `OCCLUSION_CLASSES`; "mostly occluded" from half of the labelled joints on."""
    ratio = occlusion_ratio(person.visibility)
    return OCCLUSION_CLASSES[0 if ratio == 0 else 1 if ratio < 0.5 else 2]


def ground_truth_label(person: PersonAnnotation) -> Document | None:
    """The annotated pose, with NaN points for unlabelled joints; None if no joint is labelled."""
    return pose_label(person) if person.num_keypoints else None


def relabelled_joints(person: PersonAnnotation) -> Bool[np.ndarray, " J"]:
    """Joints whose label was changed by relabelling or by a reviewer."""
    return np.isin(person.visibility_source, (Source.RELABELLED, Source.PROPOSED, Source.REVIEWED))


def relabelled_label(person: PersonAnnotation) -> Document | None:
    """The annotated pose with only the relabelled joints; None if there are none."""
    changed = relabelled_joints(person)
    return _pose(person, changed) if changed.any() else None


def prediction_label(
    image: PersonAnnotation,
    keypoints_xy: Float[np.ndarray, "J 2"],
    joint_scores: Float[np.ndarray, " J"],
    *,
    score: float,
    person: PersonAnnotation | None,
    oks: float | None,
    kinds: Int8[np.ndarray, " J"],
    swapped_with: int | None,
    strata: Sequence[str],
) -> Document:
    """A predicted pose with its evaluation.

    Fields per joint: `error`, the distance to the ground truth divided by sqrt(person area), NaN for unlabelled joints,
    rounded because the App's tooltip is small; `error_kind`, the name of an `ErrorKind`, or "none"; `occluder` of the
    annotation.

    Args:
        image: any annotation of the image, for its size.
        keypoints_xy: image pixels, pixel-index frame.
        person: the matched annotation, or None.
        oks, swapped_with, strata: of the pose (`dag.review.poses`).
        kinds: `ErrorKind` values, -1 for joints that are not evaluated.
    """
    names = [ErrorKind(kind).name.lower() if kind >= 0 else "none" for kind in kinds.tolist()]
    return document(
        "Keypoint",
        label="unmatched" if person is None else occlusion_class(person),
        person_id=None if person is None else person.person_id,
        oks=oks,
        score=score,
        error=[] if person is None else _normalized_errors(person, keypoints_xy),
        error_kind=names,
        **{f"{name}_joints": names.count(name) for name in ("inversion", "swap", "miss")},
        swapped_with=swapped_with,
        strata=list(strata),
        confidence=np.round(joint_scores, 4).tolist(),
        occluder=[] if person is None else _occluders(person),
        points=_points(image, keypoints_xy, np.ones(len(kinds), dtype=bool)),
    )


def _normalized_errors(person: PersonAnnotation, keypoints_xy: Float[np.ndarray, "J 2"]) -> list[float]:
    distance = np.linalg.norm(keypoints_xy - person.keypoints_xy, axis=-1) / np.sqrt(person.area)
    return np.where(person.visibility > 0, np.round(distance, 4), np.nan).tolist()


def box_label(person: PersonAnnotation) -> Document:
    """The annotated bounding box."""
    x, y, width, height = person.bbox_xywh
    name = "crowd" if person.is_crowd else "person" if person.num_keypoints else "person without keypoints"
    size = np.array([person.image_width, person.image_height] * 2)
    box = (np.array([x, y, width, height]) / size).tolist()
    return document("Detection", label=name, bounding_box=box, person_id=person.person_id)


def mask_label(person: PersonAnnotation) -> Document | None:
    """The instance mask, cropped to its bounding box; None if there is none or it is empty."""
    if person.segmentation is None:
        return None
    rle: Any = {"size": [person.image_height, person.image_width], "counts": person.segmentation.encode()}
    left, top, width, height = (int(value) for value in pycocotools.mask.toBbox(rle))
    if width == 0 or height == 0:
        return None
    mask = pycocotools.mask.decode(rle)[top : top + height, left : left + width].astype(bool)
    box = [left / person.image_width, top / person.image_height]
    box += [width / person.image_width, height / person.image_height]
    name = "crowd" if person.is_crowd else "person"
    packed: Any = fiftyone.core.utils.serialize_numpy_array(mask)
    return document("Detection", label=name, bounding_box=box, mask=Binary(packed), person_id=person.person_id)


def label_list(kind: str, labels: Sequence[Document | None]) -> Document:
    """Value of a sample field that holds these labels, without the Nones; `kind` is "Keypoints" or "Detections"."""
    return {"_cls": kind, kind.lower(): [label for label in labels if label is not None]}


def pose_label(person: PersonAnnotation) -> Document:
    """The annotated pose, with NaN points for unlabelled joints, also if no joint is labelled."""
    return _pose(person, person.visibility > 0)


def document(kind: str, /, **fields: Any) -> Document:
    """A stored label of FiftyOne's class `kind`."""
    return {"_id": ObjectId(), "_cls": kind, "attributes": {}, "tags": [], **fields}


def _pose(person: PersonAnnotation, shown: Bool[np.ndarray, " J"]) -> Document:
    return document(
        "Keypoint",
        label=occlusion_class(person),
        person_id=person.person_id,
        visibility=[Visibility(value).name.lower() for value in person.visibility],
        occluder=_occluders(person),
        points=_points(person, person.keypoints_xy, shown),
    )


def _occluders(person: PersonAnnotation) -> list[str]:
    """Name of each joint's `Occluder`; "none" for joints that are visible or not labelled."""
    occluded = occluded_joints(person.visibility)
    names = [Occluder(value).name.lower() for value in person.occluder]
    return [name if is_occluded else "none" for name, is_occluded in zip(names, occluded)]


def _points(person: PersonAnnotation, xy: Float[np.ndarray, "J 2"], shown: Bool[np.ndarray, " J"]) -> list[list[float]]:
    relative = (xy + 0.5) / [person.image_width, person.image_height]
    return np.where(shown[:, None], relative, np.nan).tolist()
