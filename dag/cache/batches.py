"""Training samples from the crop cache, determined by (seed, epoch, person) alone."""

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
    """Dataset of the persons of a crop cache, one sample per person and epoch; call `set_epoch` before each epoch.

    Geometric augmentation follows HRNet (lib/dataset/JointsDataset.py). It is returned as one affine map, which the
    device applies to the cached canvas.

    Args:
        folder: the crop cache.
        occluded: probability of an occluded rendering, chosen uniformly among the person's; otherwise the clean one.
        flip, rotation, rotation_p, scale, half_body: see `dag.augmentation.affine.draw_affine`.
        seed: of all randomness.
        mask_joints: probability of online mask joints (`dag.augmentation.online_masks`).

    A sample is a dict:
        image: uint8 [Hc, Wc, 3], RGB, canvas.
        input_from_canvas: float32 [2, 3], affine map to network input pixels, including the flip.
        keypoints_input_xy: float32 [P, J, 2], network input pixels; the target first; 0, 0 where unlabelled.
        visibility: int8 [P, J]; joints outside the input are unlabelled.
        ignore: uint8 [Hc / 4, Wc / 4], canvas; 1 where crowds and persons without labels are.
        person_id: int.
        masks: uint8 [H, W, 4], network input: RGB, and 255 where painted. Only if `mask_joints` is not 0.
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
        # In shared memory, so that persistent workers see it change.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Select the epoch that seeds variants and augmentations; call before iterating over the loader."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, index: int) -> dict[str, Any]:
        rng = np.random.default_rng((self.seed, int(self._epoch), self.shards.person_id(index)))
        # Both numbers are always drawn, so that `occluded` does not change the augmentation.
        draw, choice = rng.random(2)
        occluded = draw < self.occluded and self.shards.variants > 0
        crop = self.shards.crop(index, 1 + int(choice * self.shards.variants) if occluded else 0)
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
        order = self.shards.skeleton.flip_index if mirrored else slice(None)
        xy = apply_affine(affine, crop.keypoints_xy.astype(float))[:, order]
        visibility = crop.visibility[:, order]
        labelled = (visibility > 0) & inside_image(xy, *self.shards.input_wh)
        xy, visibility = np.where(labelled[..., None], xy, 0.0), np.where(labelled, visibility, np.int8(0))
        masks = {}
        if self.mask_joints:
            instances = Instances(xy, visibility, np.zeros_like(visibility), crop.occluder[:, order])
            masks["masks"], instances = self._masks(crop.person_id, instances)
            visibility = instances.visibility
        return {
            "image": crop.image,
            "input_from_canvas": affine.astype(np.float32),
            "keypoints_input_xy": xy.astype(np.float32),
            "visibility": visibility,
            "ignore": crop.ignore,
            "person_id": crop.person_id,
            **masks,
        }

    def _masks(self, person_id: int, instances: Instances) -> tuple[UInt8[np.ndarray, "H W 4"], Instances]:
        """Masks with the probability `mask_joints`, and the occluded instances; patches are of a random clean crop.

        Has its own random generators, so that masks do not change the geometric augmentation.
        """
        seed, (width, height) = (self.seed, int(self._epoch), person_id), self.shards.input_wh
        rng = np.random.default_rng((*seed, 1))
        if rng.random() >= self.mask_joints:
            return np.zeros((height, width, 4), np.uint8), instances
        other_image = self.shards.crop(int(rng.integers(len(self))), 0).image
        return draw_masks(instances, (*seed, 2), (width, height), other_image)


def collate(samples: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Batch of tensors; samples are padded with unlabelled instances to the batch's maximum number of instances."""
    max_instances = max(len(sample["visibility"]) for sample in samples)
    batch = {}
    for name in samples[0]:
        values = [np.asarray(sample[name]) for sample in samples]
        if name in ("keypoints_input_xy", "visibility"):
            values = [np.concatenate([v, np.zeros((max_instances - len(v), *v.shape[1:]), v.dtype)]) for v in values]
        batch[name] = torch.from_numpy(np.stack(values))
    return batch
