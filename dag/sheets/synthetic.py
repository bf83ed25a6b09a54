"""Contact sheet of synthetic images, with or without their ground truth."""

import cv2
import numpy as np
from jaxtyping import UInt8

from dag.annotation import Occluder
from dag.skeleton import COCO17
from dag.synthetic.ground_truth import GroundTruth
from dag.synthetic.render import SyntheticImage

# Colour of a joint by its occluder.
COLOURS = {
    Occluder.UNKNOWN: (40, 220, 40), Occluder.OBJECT: (235, 40, 40), Occluder.PERSON: (240, 60, 240),
    Occluder.SELF: (40, 150, 255),
}  # fmt: skip
_LEFT, _RIGHT, _MIDDLE = (255, 230, 60), (60, 230, 255), (235, 235, 235)


def draw_sheet(
    images: list[SyntheticImage], columns: int, scale: int = 1, gt: bool = False
) -> UInt8[np.ndarray, "H W 3"]:
    """Images of equal size in rows of `columns`, enlarged `scale` times; the last row is filled with grey.

    With `gt`, bones of the person's own left side are yellow, of the right side blue; joints are green (visible), red
    (occluded by an object), violet (by a person) or blue (by the own body).
    """
    tiles = []
    for synthetic in images:
        tile = cv2.resize(synthetic.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        if gt:
            for person in synthetic.persons:
                _draw(tile, person, scale)
        tiles.append(tile)
    tiles += [np.full_like(tiles[0], 128)] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[start : start + columns], 1) for start in range(0, len(tiles), columns)]
    return np.concatenate(rows)


def _draw(tile: UInt8[np.ndarray, "H W 3"], person: GroundTruth, scale: int) -> None:
    joints_xy = np.round((person.joints_xy + 0.5) * scale - 0.5).astype(int).tolist()
    sides = [joint.partition("_")[0] for joint in COCO17.joints]
    for a, b in COCO17.bone_index.tolist():
        colour = {"left": _LEFT, "right": _RIGHT}.get(sides[a], _MIDDLE) if sides[a] == sides[b] else _MIDDLE
        cv2.line(tile, joints_xy[a], joints_xy[b], colour, max(scale // 2, 1), cv2.LINE_AA)
    for xy, occluder in zip(joints_xy, person.occluder.tolist()):
        if occluder != Occluder.FRAME:
            cv2.circle(tile, xy, scale, COLOURS[Occluder(occluder)], -1, cv2.LINE_AA)
