"""Training samples directly from the images, without a crop cache, determined by (seed, epoch, person) alone.

For quick trials, small disks and other trainers. Each sample decodes a whole image, which takes many times as long as
reading a cached crop. There are no occluded renderings; `occlude` applies occlusion online.
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
from dag.masks import mask_rle

Occlude = Callable[[np.ndarray, Instances, np.random.Generator], tuple[np.ndarray, Instances]]


class PersonImages(Dataset):
    """Dataset of the trainable persons of an annotation table; call `set_epoch` before each epoch.

    Replaces `dag.cache.batches.PersonCrops`, with the same samples and the same `collate`: the canvas is the network's
    input itself, and `input_from_canvas` is the identity. Each sample reads its image and warps it once.

    Args:
        annotations: annotation table (parquet).
        root: data root of the images.
        split: whose annotations are read.
        input_wh: network input, width and height in pixels.
        flip, rotation, rotation_p, scale, half_body: see `dag.augmentation.affine.draw_affine`.
        seed: of all randomness.
        occlude: function (image, instances, rng) -> (image, instances) that is applied to the warped crop, such as
            `functools.partial(dag.augmentation.mask_joints, max_size=20.0)`; None: no occlusion.

    A sample is a dict:
        image: uint8 [H, W, 3], RGB, network input; black outside the image.
        input_from_canvas: float32 [2, 3], the identity.
        keypoints_input_xy: float32 [P, J, 2], network input pixels; the target first; 0, 0 where unlabelled.
        visibility: int8 [P, J]; joints outside the input are unlabelled.
        ignore: uint8 [H / 4, W / 4], 1 where crowds and persons without labels are.
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
        persons, self.skeleton = read_annotations(annotations, split)
        if not any(is_trainable(person) for person in persons):
            raise UserError("no persons to train on", where=annotations, expected="persons with labelled joints", got=0)
        self.root, self.input_wh, self.seed, self.occlude = root, input_wh, seed, occlude
        self.augment = {"flip": flip, "rotation": rotation, "rotation_p": rotation_p}
        self.augment |= {"scale": scale, "half_body": half_body}
        self._unlabelled = _unlabelled_regions(persons)
        # Arrays, not objects: loader processes share their pages; reading an object would copy its page.
        persons = [person for person in persons if person.is_evaluated]
        self._paths = np.array([person.image_path for person in persons])
        self._boxes = np.stack([person.bbox_xywh for person in persons])
        self._ids = np.array([person.person_id for person in persons])
        self._keypoints_xy = np.stack([person.keypoints_xy for person in persons])
        self._flags = np.stack([(p.visibility, p.visibility_source, p.occluder) for p in persons], axis=1)
        self._targets = np.flatnonzero([is_trainable(person) for person in persons])
        by_image: dict[str, list[int]] = {}
        for number, person in enumerate(persons):
            by_image.setdefault(person.image_path, []).append(number)
        self._by_image = {path: np.array(numbers) for path, numbers in by_image.items()}
        # In shared memory, so that persistent workers see it change.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Select the epoch that seeds the augmentations; call before iterating over the loader."""
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
        members = self._by_image[path]
        instances = self._instances(np.concatenate([[target], members[members != target]]), affine, mirrored)
        if self.occlude is not None:
            image, instances = self.occlude(image, instances, rng)
        return {
            "image": image,
            "input_from_canvas": np.eye(2, 3, dtype=np.float32),
            "keypoints_input_xy": instances.keypoints_xy.astype(np.float32),
            "visibility": instances.visibility,
            "ignore": self._ignore(path, affine),
            "person_id": person_id,
        }

    def _instances(self, numbers: np.ndarray, affine: np.ndarray, mirrored: bool) -> Instances:
        """The first person, then all others with a labelled joint in the input."""
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
        rle, left_top = self._unlabelled[path]
        # A decoded mask is in column-major order: its transpose is contiguous and needs no copy for OpenCV.
        region = pycocotools.mask.decode(rle).T
        linear, shift = affine[:, 1::-1], apply_affine(affine, left_top) - (IGNORE_STRIDE - 1) / 2
        ignore_from_region = np.column_stack([linear, shift]) / IGNORE_STRIDE
        return cv2.warpAffine(region, ignore_from_region, (width, height), flags=cv2.INTER_NEAREST)


def _unlabelled_regions(persons: Sequence[PersonAnnotation]) -> dict[str, tuple[Any, np.ndarray]]:
    """By image path, the union of crowds and persons without labelled joints as `_cropped` RLE; empty ones left out."""
    regions: dict[str, list[Any]] = {}
    for person in persons:
        if not person.is_evaluated:
            rle = mask_rle(person)
            if rle is None:
                size = person.image_height, person.image_width
                (rle,) = pycocotools.mask.frPyObjects(person.bbox_xywh[None], *size)
            regions.setdefault(person.image_path, []).append(rle)
    merged = {path: pycocotools.mask.merge(rles) for path, rles in regions.items()}
    return {path: _cropped(rle) for path, rle in merged.items() if pycocotools.mask.area(rle)}


def _cropped(rle: Any) -> tuple[Any, np.ndarray]:
    """RLE of a mask within its bounding box, and the box's left and top; decoding takes time in proportion to size."""
    left, top, width, height = pycocotools.mask.toBbox(rle).astype(int)
    region = pycocotools.mask.decode(rle)[top : top + height, left : left + width]
    return pycocotools.mask.encode(np.asfortranarray(region)), np.array([left, top], dtype=float)
