"""Stage `convert` for Leeds Sports Pose Extended: joints.mat to validated annotations."""

import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from dag.annotation import BOX_AREA_FRACTION, PersonAnnotation, Source, Visibility
from dag.convert.convert import write_dataset
from dag.convert.validation import Fault
from dag.errors import UserError
from dag.params import load_params
from dag.skeleton import CROWDPOSE14
from dag.stage import run

JOINTS = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist", "right_elbow",
    "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "neck", "head",
)  # fmt: skip
"""Joints in the file's order, by CrowdPose's names."""

VAL = 500
"""Number of images in val, the last ones of the file."""

PADDING = 0.1
"""Padding on each side of the joints' bounding box, as a fraction of its longer side: joints lie inside the body."""


def convert(root: Path, annotations: Path, out: Path, images: Path, report: Path, check_images: bool = True) -> None:
    """Read the file ANNOTATIONS (joints.mat), validate the annotations and write them."""
    params = load_params()
    try:
        joints = np.asarray(loadmat(annotations)["joints"], dtype=float)
    except (OSError, KeyError, MatReadError, ValueError, TypeError, IndexError, zlib.error) as error:
        raise UserError("not LSP's joints", where=annotations, expected="joints, 14 x 3 x N", got=error) from None
    if joints.ndim != 3 or joints.shape[:2] != (14, 3):
        raise UserError("not LSP's joints", where=annotations, expected="14 x 3 x N", got=list(joints.shape))
    order = [JOINTS.index(joint) for joint in CROWDPOSE14.joints]
    persons, faults = [], []
    for number in range(joints.shape[2]):
        split = "val" if number >= joints.shape[2] - VAL else "train"
        person = _person(root, number + 1, split, joints[order, :, number], check_images)
        if isinstance(person, Fault):
            faults.append(person)
        else:
            persons.append(person)
    write_dataset(
        persons, faults, {}, CROWDPOSE14, root=root, invalid_annotations=params.convert.invalid_annotations,
        workers=params.engine.workers, check_images=check_images, out=out, images=images, report=report,
    )  # fmt: skip


def _person(
    root: Path, number: int, split: str, joints: Float[np.ndarray, "14 3"], check_images: bool
) -> PersonAnnotation | Fault:
    name = f"images/im{number:05d}.jpg"
    labelled = (joints[:, 2] == 1) & np.isfinite(joints).all(axis=1)
    xy = joints[:, :2] - 1  # MATLAB pixel indices start at 1
    if not labelled.any():
        return Fault(str(root / name), f"image {number}", "no joints: expected at least one labelled, got 0")
    try:
        width, height = (
            _size(root / name) if check_images else (np.ceil(xy[labelled].max(axis=0)).astype(int) + 1).tolist()
        )
    except (OSError, Image.DecompressionBombError) as error:
        return Fault(str(root / name), f"image {number}", f"unreadable image: expected an image, got {error}")
    pad = PADDING * np.ptp(xy[labelled], axis=0).max()
    low = np.maximum(xy[labelled].min(axis=0) - pad, 0)
    high = np.minimum(xy[labelled].max(axis=0) + pad, [width, height])
    if not (high > low + 1).all():
        return Fault(
            str(root / name), f"image {number}", f"joints outside the image: expected inside {width} x {height}"
        )
    return PersonAnnotation(
        dataset="lsp_extended",
        split=split,
        image_id=number,
        image_path=name,
        image_width=int(width),
        image_height=int(height),
        person_id=number,
        bbox_xywh=np.concatenate([low, high - low]),
        area=float(BOX_AREA_FRACTION * np.prod(high - low)),
        is_crowd=False,
        keypoints_xy=np.where(labelled[:, None], xy, 0.0),
        visibility=labelled * np.int8(Visibility.VISIBLE),
        visibility_source=labelled * np.int8(Source.LABEL_FLAG_ONLY),
        occluder=np.zeros(14, dtype=np.int8),
    )


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


if __name__ == "__main__":
    run(convert)
