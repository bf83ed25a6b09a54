"""Training samples from the crop cache. What a sample is depends on (seed, epoch, person) and on nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch.utils.data import Dataset

from dag.augmentation.affine import draw_affine
from dag.augmentation.instances import Instances
from dag.augmentation.online_masks import draw_masks
from dag.cache.shards import Shards
from dag.geometry import apply_affine, inside_image


class PersonCrops(Dataset):
    """The people of a crop cache, one sample a person and epoch; `set_epoch` before each epoch.

    Augmentation is HRNet's protocol (lib/dataset/JointsDataset.py), as ONE matrix that the device applies; the pixels
    that come out are the cache's.

    Args:
        folder: the crop cache.
        occluded: probability of an occluded rendering, each of a person's as likely; else the clean one.
        flip, rotation, rotation_p, scale, half_body: as `dag.augmentation.affine.draw_affine`.
        seed: of all randomness.
        mask_joints: probability of rectangles over the target's joints (`dag.augmentation.online_masks`).

    A sample is a dict:
        image: uint8 [Hc, Wc, 3], RGB, canvas.
        input_from_canvas: float32 [2, 3], mirroring included.
        keypoints_input_xy: float32 [P, J, 2], network input pixels; the target first; 0, 0 where unlabelled.
        visibility: int8 [P, J]; joints outside the input are unlabelled.
        ignore: uint8 [Hc / 4, Wc / 4], canvas.
        person_id: int.
        masks: uint8 [H, W, 4], network input: RGB and 255 where painted. Only where `mask_joints` is not 0.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        occluded: float,
        flip: float,
        rotation: float,
        rotation_p: float,
        scale: float,
        half_body: float,
        seed: int,
        mask_joints: float = 0.0,
    ):
        self.shards = Shards(folder)
        self.occluded, self.seed, self.mask_joints = occluded, seed, mask_joints
        self.augment = {"flip": flip, "rotation": rotation, "rotation_p": rotation_p}
        self.augment |= {"scale": scale, "half_body": half_body}
        # Shared memory: workers that outlive an epoch see the next one.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Other variants and augmentations from now on; before the loader's iterator is made."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, index: int) -> dict[str, Any]:
        rng = np.random.default_rng((self.seed, int(self._epoch), self.shards.person_id(index)))
        chance, which = rng.random(2)  # always both, so that the fraction changes nothing else
        occluded = chance < self.occluded and self.shards.variants > 0
        crop = self.shards.crop(index, 1 + int(which * self.shards.variants) if occluded else 0)
        mirrored, affine = draw_affine(
            rng,
            crop.keypoints_xy[0],
            crop.visibility[0] > 0,
            self.shards.skeleton,
            np.array(self.shards.canvas_wh) / 2,
            np.array(self.shards.input_wh, dtype=float),
            self.shards.input_wh,
            **self.augment,
        )
        names = self.shards.skeleton.flip_index if mirrored else slice(None)
        xy = apply_affine(affine, crop.keypoints_xy.astype(float))[:, names]
        visibility = crop.visibility[:, names]
        labelled = (visibility > 0) & inside_image(xy, *self.shards.input_wh)
        xy, visibility = np.where(labelled[..., None], xy, 0.0), np.where(labelled, visibility, np.int8(0))
        masked = {}
        if self.mask_joints:
            people = Instances(xy, visibility, np.zeros_like(visibility), crop.occluder[:, names])
            masked["masks"], people = self._masks(crop.person_id, people)
            visibility = people.visibility
        return {
            "image": crop.image,
            "input_from_canvas": affine.astype(np.float32),
            "keypoints_input_xy": xy.astype(np.float32),
            "visibility": visibility,
            "ignore": crop.ignore,
            "person_id": crop.person_id,
            **masked,
        }

    def _masks(self, person_id: int, people: Instances) -> tuple[UInt8[np.ndarray, "H W 4"], Instances]:
        """Patches come from the clean crop of anyone. Geometry draws from other generators: masks do not change it."""
        seed, (width, height) = (self.seed, int(self._epoch), person_id), self.shards.input_wh
        rng = np.random.default_rng((*seed, 1))
        if rng.random() >= self.mask_joints:
            return np.zeros((height, width, 4), np.uint8), people
        other_image = self.shards.crop(int(rng.integers(len(self))), 0).image
        return draw_masks(people, (*seed, 2), (width, height), other_image)


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
