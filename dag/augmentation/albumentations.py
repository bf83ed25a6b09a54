"""`MaskJoints` and `InstancePaste` as Albumentations transforms (2.0.8, the last release under the MIT licence).

Keypoints are the joints of all instances, instance after instance, the target first. Their visibility is a label field:

    A.Compose(
        [A.Resize(256, 192), MaskJoints(num_joints=17), InstancePaste("pool.arrow", num_joints=17)],
        keypoint_params=A.KeypointParams("xy", label_fields=["visibility"], remove_invisible=False),
        seed=1,
    )

The label fields `visibility_source` and `occluder` are updated if the `Compose` has them. Without `occluder`, every
occluded joint counts as covered, so that both transforms together cover at most `max_covered` of the target.

Covered pixels of masks become 0, bounding boxes do not change (they contain the whole object), and further images get
the same occlusion. Randomness comes from the `Compose`; `A.ReplayCompose` replays the seed, so it can occlude other
images. Frame: like OpenCV, Albumentations uses pixel indices (its flip is `width - 1 - x`). Its flips do not swap left
and right joints.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
from albumentations.core.type_definitions import Targets
from jaxtyping import Bool, Float, UInt8

from dag.annotation import Occluder, Source, Visibility
from dag.augmentation.instances import Instances
from dag.augmentation.occlusion import mask_joints, paste_instance
from dag.errors import UserError
from dag.pool.pool import Cutout, Pool

COORDINATES = 5
"""Number of Albumentations' own columns of a keypoint (x, y, z, angle, scale); label fields follow."""

FIELDS = ("visibility", "visibility_source", "occluder")

Image = UInt8[np.ndarray, "H W 3"]
Covered = Callable[[], Bool[np.ndarray, "H W"]]


class _Occlude(A.DualTransform):
    _targets = (Targets.IMAGE, Targets.MASK, Targets.KEYPOINTS, Targets.BBOXES)

    def __init__(self, num_joints: int, p: float):
        super().__init__(p=p)
        self.num_joints = num_joints

    @abstractmethod
    def occlude(self, image: Image, instances: Instances, rng: np.random.Generator) -> tuple[Image, Instances]:
        """Apply the function of `dag.augmentation.occlusion`."""

    def get_params(self) -> dict[str, Any]:
        return {"seed": int(self.random_generator.integers(2**32))}

    def apply_with_params(self, params: dict[str, Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        columns, image, keypoints = self._columns(), self._image(kwargs), kwargs.get("keypoints", ())
        if not len(keypoints):
            return kwargs
        instances = _to_instances(keypoints, columns, self.num_joints)

        def occlude(source: Image) -> tuple[Image, Instances]:
            return self.occlude(source, instances, np.random.default_rng(params["seed"]))

        @cache
        def covered() -> Bool[np.ndarray, "H W"]:
            """Pixels of which the occluders' alpha is above one half."""
            on_black, on_white = (occlude(np.full_like(image, level))[0][..., 0] for level in (0, 255))
            return on_white - on_black < 128

        occluded_image, occluded = occlude(image)
        results = {
            "source_image": image,
            "occluded_image": occluded_image,
            "covered": covered,
            "occluded_keypoints": _to_keypoints(occluded, keypoints, columns),
        }
        return super().apply_with_params({**params, **results}, *args, **{**kwargs, "image": image})

    def apply(
        self, img: np.ndarray, source_image: Image, occluded_image: Image, covered: Covered, **params: Any
    ) -> np.ndarray:
        if img is source_image:
            return occluded_image
        if img.shape == source_image.shape:
            return np.where(covered()[..., None], occluded_image, img)
        return _without(img, covered)

    def apply_to_mask(self, mask: np.ndarray, covered: Covered, **params: Any) -> np.ndarray:
        return _without(mask, covered)

    def apply_to_bboxes(self, bboxes: np.ndarray, **params: Any) -> np.ndarray:
        return bboxes

    def apply_to_keypoints(self, keypoints: np.ndarray, occluded_keypoints: np.ndarray, **params: Any) -> np.ndarray:
        return occluded_keypoints

    def _image(self, data: dict[str, Any]) -> Image:
        image = data.get("image")
        if image is None or image.dtype != np.uint8 or image.shape[2:] != (3,):
            got = None if image is None else f"{image.dtype} {image.shape}"
            do = "put it before A.Normalize and after A.ToRGB"
            raise UserError(
                "not an RGB image", where=type(self).__name__, expected="uint8 height x width x 3", got=got, do=do
            )
        return np.ascontiguousarray(image)

    def _columns(self) -> dict[str, int]:
        processor = self.get_processor("keypoints")
        params: Any = processor.params if processor else A.KeypointParams("xy", remove_invisible=False)
        fields = list(params.label_fields or [])
        if "visibility" not in fields or params.remove_invisible:
            raise UserError(
                "keypoints without visibility, or with invisible ones removed",
                where=type(self).__name__,
                expected='KeypointParams(..., label_fields=["visibility"], remove_invisible=False)',
                got=f"label_fields={fields}, remove_invisible={params.remove_invisible}",
            )
        return {name: COORDINATES + fields.index(name) for name in FIELDS if name in fields}


class MaskJoints(_Occlude):
    """`dag.augmentation.mask_joints` as a transform; sizes in pixels of the transform's input image.

    Covered keypoints keep their coordinates; their visibility decreases.

    Args:
        num_joints: number of joints per person.
        min_count, max_count, min_size, max_size, max_covered: as in `mask_joints`.
        p: probability.
    """

    def __init__(
        self,
        num_joints: int,
        min_count: int = 1,
        max_count: int = 8,
        min_size: float = 10.0,
        max_size: float = 40.0,
        max_covered: float = 0.8,
        p: float = 0.5,
    ):
        super().__init__(num_joints, p)
        self.min_count, self.max_count = min_count, max_count
        self.min_size, self.max_size = min_size, max_size
        self.max_covered = max_covered

    def occlude(self, image: Image, instances: Instances, rng: np.random.Generator) -> tuple[Image, Instances]:
        return mask_joints(
            image,
            instances,
            rng,
            min_count=self.min_count,
            max_count=self.max_count,
            min_size=self.min_size,
            max_size=self.max_size,
            max_covered=self.max_covered,
        )


class InstancePaste(_Occlude):
    """`dag.augmentation.paste_instance` as a transform; the pasted instance is in front of all persons.

    The `num_joints` keypoints of the pasted instance are appended, with further label fields copied from the target's
    (such as joint names). Its bounding box is not appended.

    Args:
        pool: cut-outs, or the path of a pool file.
        num_joints: number of joints per person.
        min_scale, max_scale, max_rotation, max_covered: as in `paste_instance`.
        p: probability.
    """

    def __init__(
        self,
        pool: Pool | Sequence[Cutout] | str | Path,
        num_joints: int,
        min_scale: float = 0.7,
        max_scale: float = 1.3,
        max_rotation: float = 45.0,
        max_covered: float = 0.8,
        p: float = 0.5,
    ):
        super().__init__(num_joints, p)
        self.pool = pool
        self._cutouts = Pool(pool) if isinstance(pool, str | Path) else pool
        self.min_scale, self.max_scale = min_scale, max_scale
        self.max_rotation, self.max_covered = max_rotation, max_covered

    def occlude(self, image: Image, instances: Instances, rng: np.random.Generator) -> tuple[Image, Instances]:
        return paste_instance(
            image,
            instances,
            self._cutouts,
            rng,
            min_scale=self.min_scale,
            max_scale=self.max_scale,
            max_rotation=self.max_rotation,
            max_covered=self.max_covered,
        )


def _to_instances(keypoints: Float[np.ndarray, "N columns"], columns: dict[str, int], num_joints: int) -> Instances:
    if len(keypoints) % num_joints:
        raise UserError(
            "keypoints are not whole instances",
            expected=f"a multiple of {num_joints}",
            got=len(keypoints),
            do="pass every joint of every person and set remove_invisible=False",
        )
    visibility = keypoints[:, columns["visibility"]]
    occluded = (visibility == Visibility.OCCLUDED) | (visibility == Visibility.RELABELLED)
    defaults = {
        "visibility_source": np.full(len(keypoints), Source.ANNOTATED),
        "occluder": np.where(occluded, Occluder.OBJECT, Occluder.UNKNOWN),
    }
    flags = {
        name: (keypoints[:, columns[name]] if name in columns else defaults[name]).astype(np.int8) for name in FIELDS
    }
    flags = {name: values.reshape(-1, num_joints) for name, values in flags.items()}
    return Instances(keypoints[:, :2].astype(float).reshape(-1, num_joints, 2), **flags)


def _to_keypoints(
    instances: Instances, keypoints: Float[np.ndarray, "N columns"], columns: dict[str, int]
) -> Float[np.ndarray, "M columns"]:
    """Keypoints of the instances; appended instances get the columns of the target that are not in `columns`."""
    joints = instances.visibility.shape[1]
    new = instances.visibility.size // joints - len(keypoints) // joints
    keypoints = np.concatenate([keypoints] + [keypoints[:joints]] * new)
    keypoints[:, :2] = instances.keypoints_xy.reshape(-1, 2)
    for name, column in columns.items():
        keypoints[:, column] = getattr(instances, name).ravel()
    return keypoints


def _without(mask: np.ndarray, covered: Covered) -> np.ndarray:
    mask = mask.copy()
    mask[covered()] = 0
    return mask
