"""Training samples from the crop cache. What a sample is depends on (seed, epoch, person) and on nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch.utils.data import Dataset

from dag.data.shards import Shards
from dag.geometry import apply_affine, compose, input_from_image, inside_image, mirror
from dag.skeleton import Skeleton

LOWER_BODY = ("hip", "knee", "ankle")
# Half-body crops: only above this many labelled joints, and this much padding.
HALF_BODY_JOINTS = 8
HALF_BODY_PADDING = 1.5


class PersonCrops(Dataset):
    """The people of a crop cache, one sample a person and epoch; `set_epoch` before each epoch.

    Augmentation is HRNet's protocol (lib/dataset/JointsDataset.py), as ONE matrix that the device applies; the pixels
    that come out are the cache's.

    Args:
        folder: the crop cache.
        occluded: draw among the clean and all occluded renderings; False: always the clean one.
        flip: probability of mirroring.
        rotation: standard deviation in degrees, cut off at twice that.
        rotation_p: probability of turning at all.
        scale: standard deviation of the factor on the crop's size, cut off at once that.
        half_body: probability of a crop round the upper or lower half of people with more than 8 labelled joints.
        seed: of all randomness.

    A sample is a dict:
        image: uint8 [Hc, Wc, 3], RGB, canvas.
        input_from_canvas: float32 [2, 3], mirroring included.
        keypoints_input_xy: float32 [P, J, 2], network input pixels; the target first; 0, 0 where unlabelled.
        visibility: int8 [P, J]; joints outside the input are unlabelled.
        ignore: uint8 [Hc / 4, Wc / 4], canvas.
        person_id: int.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        occluded: bool,
        flip: float,
        rotation: float,
        rotation_p: float,
        scale: float,
        half_body: float,
        seed: int,
    ):
        self.shards = Shards(folder)
        self.occluded, self.seed = occluded, seed
        self.flip, self.rotation, self.rotation_p = flip, rotation, rotation_p
        self.scale, self.half_body = scale, half_body
        # Shared memory: workers that outlive an epoch see the next one.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Other variants and augmentations from now on; before the loader's iterator is made."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, index: int) -> dict[str, Any]:
        rng = np.random.default_rng((self.seed, int(self._epoch), self.shards.person_id(index)))
        variant = int(rng.integers(self.shards.variants + 1))
        crop = self.shards.crop(index, variant if self.occluded else 0)
        mirrored, affine = self._draw(crop.keypoints_xy[0], crop.visibility[0] > 0, rng)
        xy, visibility = apply_affine(affine, crop.keypoints_xy.astype(float)), crop.visibility
        if mirrored:
            names = self.shards.skeleton.flip_index
            xy, visibility = xy[:, names], visibility[:, names]
        labelled = (visibility > 0) & inside_image(xy, *self.shards.input_wh)
        return {
            "image": crop.image,
            "input_from_canvas": affine.astype(np.float32),
            "keypoints_input_xy": np.where(labelled[..., None], xy, 0).astype(np.float32),
            "visibility": np.where(labelled, visibility, np.int8(0)),
            "ignore": crop.ignore,
            "person_id": crop.person_id,
        }

    def _draw(
        self, target_xy: Float[np.ndarray, "J 2"], labelled: Bool[np.ndarray, " J"], rng: np.random.Generator
    ) -> tuple[bool, Float[np.ndarray, "2 3"]]:
        """Whether the sample is mirrored, and the whole map from canvas to input."""
        flip_toss, turn_toss, half_toss, upper_toss = rng.random(4)
        turn, stretch = rng.normal(size=2)
        shards = self.shards
        center_xy, size_wh = np.array(shards.canvas_wh) / 2, np.array(shards.input_wh, dtype=float)
        if half_toss < self.half_body:
            half = half_body_crop(target_xy, labelled, shards.skeleton, size_wh, upper=bool(upper_toss < 0.5))
            center_xy, size_wh = half or (center_xy, size_wh)
        size_wh = size_wh * np.clip(1 + self.scale * stretch, 1 - self.scale, 1 + self.scale)
        degrees = np.clip(self.rotation * turn, -2 * self.rotation, 2 * self.rotation)
        rotation = float(degrees) if turn_toss < self.rotation_p else 0.0
        affine = input_from_image(center_xy, size_wh, shards.input_wh, rotation)
        if flip_toss < self.flip:
            return True, compose(mirror(shards.input_wh[0]), affine)
        return False, affine


def half_body_crop(
    xy: Float[np.ndarray, "J 2"],
    labelled: Bool[np.ndarray, " J"],
    skeleton: Skeleton,
    input_wh: Float[np.ndarray, "2"],
    *,
    upper: bool,
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]] | None:
    """Centre and size of a crop round the upper or lower half of a body, at the input's aspect.

    As HRNet's `half_body_transform`: the other half where the wanted one has less than three joints; None for people
    with no more than 8 labelled joints.
    """
    if labelled.sum() <= HALF_BODY_JOINTS:
        return None
    lower = np.array([joint.endswith(LOWER_BODY) for joint in skeleton.joints])
    halves = [labelled & ~lower, labelled & lower]
    wanted, other = halves if upper else halves[::-1]
    points = xy[wanted if wanted.sum() > 2 else other].astype(float)
    extent, aspect = np.ptp(points, axis=0), input_wh[0] / input_wh[1]
    size_wh = np.array([max(extent[0], extent[1] * aspect), max(extent[1], extent[0] / aspect)])
    return points.mean(axis=0), np.maximum(size_wh, 1.0) * HALF_BODY_PADDING


def collate(samples: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """A batch of tensors; fewer people than in the fullest sample are made up by people without labels."""
    most = max(len(sample["visibility"]) for sample in samples)
    batch = {}
    for name in samples[0]:
        values = [np.asarray(sample[name]) for sample in samples]
        if name in ("keypoints_input_xy", "visibility"):
            values = [np.concatenate([v, np.zeros((most - len(v), *v.shape[1:]), v.dtype)]) for v in values]
        batch[name] = torch.from_numpy(np.stack(values))
    return batch
