"""Cards of the persons whose OKS changed most: ground truth and predictions drawn on the image."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int8, UInt8

from dag.annotation import PersonAnnotation
from dag.evaluation.diagnosis import ErrorKind
from dag.evaluation.strata import occluded_joints
from dag.image import read_image
from dag.report.experiments import Experiment
from dag.skeleton import Skeleton

TILE_WH = (210, 280)
CONTEXT = 1.4
"""Side of the drawn region relative to the extent of the person's box and labelled joints."""
JPEG_QUALITY = 85
GROUND_TRUTH_COLOR, VISIBLE, OCCLUDED = "#ffffff", "#00c83c", "#ff5a00"
KIND_COLORS = {
    ErrorKind.GOOD: "#d9d9d9",
    ErrorKind.JITTER: "#56b4e9",
    ErrorKind.INVERSION: "#e69f00",
    ErrorKind.SWAP: "#cc79a7",
    ErrorKind.MISS: "#3a3a3a",
}
"""The colours of `.dvc/plots/errors.json`."""


@dataclass(frozen=True)
class Card:
    """A person on the page.

    Attributes:
        image: path of the image.
        labelled, occluded: number of joints.
        image_uri: JPEG as a data URI: the ground truth, then each prediction.
        oks, errors: of each prediction; errors as text.
    """

    person_id: int
    image: str
    labelled: int
    occluded: int
    image_uri: str
    oks: tuple[float, ...]
    errors: tuple[str, ...]


def extremes(oks: Sequence[Float[np.ndarray, " P"]], most: int) -> tuple[list[int], list[int]]:
    """Persons whose OKS rose most from the first to the last experiment, and persons whose OKS fell most.

    At most `most` of each, the largest changes first; with one experiment the persons with the highest and the lowest
    OKS. Ties are resolved by order. No person is in both.
    """
    change = oks[-1] - oks[0] if len(oks) > 1 else oks[0]
    known = np.flatnonzero(~np.isnan(change))
    best = known[np.argsort(-change[known], kind="stable")]
    worst = known[np.argsort(change[known], kind="stable")]
    if len(oks) > 1:
        best, worst = best[change[best] > 0], worst[change[worst] < 0]
    best = best[:most]
    return best.tolist(), worst[~np.isin(worst, best)][:most].tolist()


def draw_card(number: int, experiments: Sequence[Experiment], colors: Sequence[str]) -> Card:
    """Card of the person with index `number`.

    Args:
        colors: of the bones, by experiment.

    Raises:
        UserError: the image is missing or unreadable.
    """
    annotations = experiments[0].annotations
    person, skeleton = annotations.persons[number], annotations.skeleton
    to_tile = _to_tile(person)
    image = read_image(annotations.root, person.image_path)
    tile = cv2.warpAffine(image, to_tile, TILE_WH, flags=cv2.INTER_CUBIC, borderValue=(238, 238, 238))
    occluded = occluded_joints(person.visibility)
    joints = [OCCLUDED if one else VISIBLE for one in occluded]
    tiles = [_draw(tile, person.keypoints_xy, person.visibility > 0, to_tile, skeleton, GROUND_TRUTH_COLOR, joints)]
    for one, color in zip(experiments, colors):
        tiles.append(_predicted(tile, one, number, to_tile, skeleton, color))
    return Card(
        person_id=person.person_id,
        image=person.image_path,
        labelled=person.num_keypoints,
        occluded=int(occluded.sum()),
        image_uri=_data_uri(tiles),
        oks=tuple(float(one.evaluation.person_oks[number]) for one in experiments),
        errors=tuple(_errors(one, number, skeleton) for one in experiments),
    )


def _predicted(
    image: UInt8[np.ndarray, "H W 3"],
    experiment: Experiment,
    number: int,
    to_tile: Float[np.ndarray, "2 3"],
    skeleton: Skeleton,
    color: str,
) -> UInt8[np.ndarray, "H W 3"]:
    """The pose predicted for the person, joints in the colours of their errors; the plain image without a result."""
    result = experiment.evaluation.result_of[number]
    if result < 0:
        return image
    kinds = experiment.evaluation.diagnosis.kind[result].tolist()
    joints = [KIND_COLORS[ErrorKind(kind)] if kind >= 0 else color for kind in kinds]
    labelled = np.array(kinds) >= 0
    return _draw(image, experiment.results.keypoints_xy[result], labelled, to_tile, skeleton, color, joints)


def _errors(experiment: Experiment, number: int, skeleton: Skeleton) -> str:
    """Errors of the pose predicted for the person: joints by kind."""
    result = experiment.evaluation.result_of[number]
    if result < 0:
        return "not predicted"
    kinds: Int8[np.ndarray, " J"] = experiment.evaluation.diagnosis.kind[result]
    swapped_with = experiment.evaluation.diagnosis.swapped_with[result]
    parts = []
    for kind in (ErrorKind.SWAP, ErrorKind.INVERSION, ErrorKind.MISS, ErrorKind.JITTER):
        names = [skeleton.joints[joint].replace("_", " ") for joint in np.flatnonzero(kinds == kind)]
        others = sorted({experiment.annotations.persons[other].person_id for other in swapped_with if other >= 0})
        partner = f" with {', '.join(map(str, others))}" if kind is ErrorKind.SWAP else ""
        parts += [f"{kind.name.lower()}{partner}: {', '.join(names)}"] if names else []
    return "; ".join(parts) or "all good"


def _to_tile(person: PersonAnnotation) -> Float[np.ndarray, "2 3"]:
    """Affine transform from the image to the tile; the box and all labelled joints are centred, with context."""
    left, top, width, height = person.bbox_xywh
    corners = np.array([[left, top], [left + width, top + height]])
    points = np.concatenate([corners, person.keypoints_xy[person.visibility > 0]])
    low, high = points.min(0), points.max(0)
    scale = float((np.array(TILE_WH) / np.maximum(CONTEXT * (high - low), 1)).min())
    shift = np.array(TILE_WH) / 2 - scale * (low + high) / 2
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


def _draw(
    image: UInt8[np.ndarray, "H W 3"],
    keypoints_xy: Float[np.ndarray, "J 2"],
    shown: np.ndarray,
    to_tile: Float[np.ndarray, "2 3"],
    skeleton: Skeleton,
    color: str,
    joint_colors: Sequence[str],
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw a pose on a copy of the image, with a dark outline for contrast on any background."""
    tile = image.copy()
    limit = 10.0 * max(TILE_WH)  # larger coordinates overflow OpenCV's integers
    xy = np.clip(keypoints_xy @ to_tile[:, :2].T + to_tile[:, 2], -limit, limit).round().astype(int).tolist()
    bones = [(a, b) for a, b in skeleton.bone_index if shown[a] and shown[b]]
    for thickness, shade in ((5, (20, 20, 20)), (3, _rgb(color))):
        for a, b in bones:
            cv2.line(tile, xy[a], xy[b], shade, thickness, cv2.LINE_AA)
    for joint in np.flatnonzero(shown).tolist():
        cv2.circle(tile, xy[joint], 5, (20, 20, 20), -1, cv2.LINE_AA)
        cv2.circle(tile, xy[joint], 4, _rgb(joint_colors[joint]), -1, cv2.LINE_AA)
    return tile


def _rgb(color: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(color[1:]))


def _data_uri(tiles: Sequence[UInt8[np.ndarray, "H W 3"]]) -> str:
    """JPEG of images side by side, separated by white lines, as a data URI."""
    gap = np.full((TILE_WH[1], 4, 3), 255, np.uint8)
    row = np.concatenate([part for tile in tiles for part in (gap, tile)][1:], axis=1)
    bgr = cv2.cvtColor(row, cv2.COLOR_RGB2BGR)
    jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode()
