"""Training samples straight from the images, without a crop cache, seeded by (seed, epoch, person).

For quick trials, small disks and other people's trainers. A sample costs its JPEG file and little else, which is still
many times what a cached crop costs; there are no occluded renderings but those that `occlude` makes.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pycocotools.mask
import torch
from jaxtyping import UInt8
from torch.utils.data import Dataset

from dag.annotation import PersonAnnotation, read_annotations
from dag.augmentation.affine import draw_affine
from dag.augmentation.instances import Instances
from dag.cache.crops import is_trainable
from dag.cache.shards import IGNORE_STRIDE
from dag.errors import UserError
from dag.geometry import apply_affine, crop_from_box, inside_image
from dag.image import read_image

Occlude = Callable[[np.ndarray, Instances, np.random.Generator], tuple[np.ndarray, Instances]]


class PersonImages(Dataset):
    """Dataset of the trainable persons of an annotation table; call `set_epoch` before each epoch.

    Can be used wherever `dag.cache.batches.PersonCrops` can, with the same `collate`: the canvas is the network's input
    itself, and `input_from_canvas` leaves it alone. The image is read for every sample and warped once.

    Args:
        annotations: annotation table (parquet).
        root: data root of the images.
        split: of the rows.
        input_wh: network input, width and height in pixels.
        flip, rotation, rotation_p, scale, half_body: as `dag.augmentation.affine.draw_affine`.
        seed: of all randomness.
        occlude: function (image, people, rng) to (image, people) on the warped crop, such as `mask_joints` of
            dag.augmentation.occlusion with its sizes filled in by `functools.partial`; None: none.

    A sample is a dict:
        image: uint8 [H, W, 3], RGB, network input; black outside the image.
        input_from_canvas: float32 [2, 3], the identity.
        keypoints_input_xy: float32 [P, J, 2], network input pixels; the target first; 0, 0 where unlabelled.
        visibility: int8 [P, J]; joints outside the input are unlabelled.
        ignore: uint8 [H / 4, W / 4], 1 where people without labels are.
        person_id: int.

    Raises:
        UserError: no annotation table, no persons to train on, or (when it is read) an unreadable image.
    """

    def __init__(
        self,
        annotations: str | Path,
        root: str | Path,
        split: str = "train",
        *,
        input_wh: tuple[int, int],
        flip: float,
        rotation: float,
        rotation_p: float,
        scale: float,
        half_body: float,
        seed: int,
        occlude: Occlude | None = None,
    ):
        rows, self.skeleton = read_annotations(annotations, split)
        if not any(is_trainable(row) for row in rows):
            raise UserError("no persons to train on", where=annotations, expected="persons with labelled joints", got=0)
        self.root, self.input_wh, self.seed, self.occlude = root, input_wh, seed, occlude
        self.augment = {"flip": flip, "rotation": rotation, "rotation_p": rotation_p}
        self.augment |= {"scale": scale, "half_body": half_body}
        self._unlabelled = _unlabelled(rows)
        # Arrays instead of objects: loader processes share their memory; reading an object would copy its page.
        rows = [row for row in rows if not row.is_crowd and row.num_keypoints]
        self._paths = np.array([row.image_path for row in rows])
        self._boxes = np.stack([row.bbox_xywh for row in rows])
        self._ids = np.array([row.person_id for row in rows])
        self._keypoints_xy = np.stack([row.keypoints_xy for row in rows])
        self._flags = np.stack([(row.visibility, row.visibility_source, row.occluder) for row in rows], axis=1)
        self._targets = np.flatnonzero([is_trainable(row) for row in rows])
        photos: dict[str, list[int]] = {}
        for number, row in enumerate(rows):
            photos.setdefault(row.image_path, []).append(number)
        self._photos = {path: np.array(numbers) for path, numbers in photos.items()}
        # Shared memory: workers that outlive an epoch see the next one.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Other augmentations from now on; before the loader's iterator is made."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self._targets)

    def __getitem__(self, index: int) -> dict[str, Any]:
        target = self._targets[index]
        path, person_id = str(self._paths[target]), int(self._ids[target])
        rng = np.random.default_rng((self.seed, int(self._epoch), person_id))
        mirrored, affine = draw_affine(
            rng,
            self._keypoints_xy[target],
            self._flags[0, target] > 0,
            self.skeleton,
            *crop_from_box(self._boxes[target], self.input_wh),
            self.input_wh,
            **self.augment,
        )
        image = cv2.warpAffine(read_image(self.root, path), affine, self.input_wh)
        photo = self._photos[path]
        people = self._people(np.concatenate([[target], photo[photo != target]]), affine, mirrored)
        if self.occlude is not None:
            image, people = self.occlude(image, people, rng)
        return {
            "image": image,
            "input_from_canvas": np.eye(2, 3, dtype=np.float32),
            "keypoints_input_xy": people.keypoints_xy.astype(np.float32),
            "visibility": people.visibility,
            "ignore": self._ignore(path, affine),
            "person_id": person_id,
        }

    def _people(self, numbers: np.ndarray, affine: np.ndarray, mirrored: bool) -> Instances:
        """The first one, then everyone else with a labelled joint in the input."""
        xy, flags = apply_affine(affine, self._keypoints_xy[numbers]), self._flags[:, numbers]
        if mirrored:
            xy, flags = xy[:, self.skeleton.flip_index], flags[..., self.skeleton.flip_index]
        labelled = (flags[0] > 0) & inside_image(xy, *self.input_wh)
        keep = labelled.any(axis=1)
        keep[0] = True
        labelled = labelled[keep]
        return Instances(xy[keep] * labelled[..., None], *(flags[:, keep] * labelled))

    def _ignore(self, path: str, affine: np.ndarray) -> UInt8[np.ndarray, "Hi Wi"]:
        width, height = (side // IGNORE_STRIDE for side in self.input_wh)
        if path not in self._unlabelled:
            return np.zeros((height, width), np.uint8)
        runs, left_top = self._unlabelled[path]
        # A decoded mask lies in memory column by column: turned over, it needs no copy.
        region = pycocotools.mask.decode(runs).T
        linear, shift = affine[:, 1::-1], apply_affine(affine, left_top) - (IGNORE_STRIDE - 1) / 2
        ignore_from_region = np.column_stack([linear, shift]) / IGNORE_STRIDE
        return cv2.warpAffine(region, ignore_from_region, (width, height), flags=cv2.INTER_NEAREST)


def _unlabelled(rows: Sequence[PersonAnnotation]) -> dict[str, tuple[Any, np.ndarray]]:
    """Where people without labels are, of each image that has some: run lengths in a box, and its left and top."""
    found: dict[str, list[Any]] = {}
    for row in rows:
        if row.is_crowd or not row.num_keypoints:
            size = [row.image_height, row.image_width]
            runs: Any = {"size": size, "counts": (row.segmentation or "").encode()}
            if row.segmentation is None:
                (runs,) = pycocotools.mask.frPyObjects(row.bbox_xywh[None], *size)
            found.setdefault(row.image_path, []).append(runs)
    merged = {path: pycocotools.mask.merge(runs) for path, runs in found.items()}
    return {path: _cropped(runs) for path, runs in merged.items() if pycocotools.mask.area(runs)}


def _cropped(runs: Any) -> tuple[Any, np.ndarray]:
    """Decoding costs what the size costs: the run lengths of the mask's own box are cheaper to read every time."""
    left, top, width, height = pycocotools.mask.toBbox(runs).astype(int)
    region = pycocotools.mask.decode(runs)[top : top + height, left : left + width]
    return pycocotools.mask.encode(np.asfortranarray(region)), np.array([left, top], dtype=float)
