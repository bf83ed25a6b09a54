"""`MaskJoints` and `InstancePaste` for anyone's `albumentations.Compose` (2.0.8, the last release under MIT).

The pipeline's keypoints are the joints of all instances, instance after instance, the target first. Their visibility
is a label field:

    A.Compose(
        [A.Resize(256, 192), MaskJoints(num_joints=17), InstancePaste("pool.arrow", num_joints=17)],
        keypoint_params=A.KeypointParams("xy", label_fields=["visibility"], remove_invisible=False),
        seed=1,
    )

Fields called `visibility_source` and `occluder` are updated if the pipeline has them. Without `occluder`,
every occluded joint counts as covered, so that both transforms together cover no more of the target than `max_covered`.

Masks lose covered pixels, boxes stay (they contain the whole object), further images get the same occlusion.
Randomness comes from the `Compose`; `A.ReplayCompose` replays the seed, so it can occlude other images. Frame: albumentations counts pixels as OpenCV does (its flip is `width - 1 - x`), the pixel-index frame of this
project. Its flips do not swap left and right joints.
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

# albumentations' own columns of a keypoint: x, y, z, angle, scale; label fields follow.
COORDINATES = 5
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
        """The plain function."""

    def get_params(self) -> dict[str, Any]:
        return {"seed": int(self.random_generator.integers(2**32))}

    def apply_with_params(self, params: dict[str, Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        columns, image, rows = self._columns(), self._image(kwargs), kwargs.get("keypoints", ())
        if not len(rows):
            return kwargs
        instances = _to_instances(rows, columns, self.num_joints)

        def occlude(picture: Image) -> tuple[Image, Instances]:
            return self.occlude(picture, instances, np.random.default_rng(params["seed"]))

        @cache
        def covered() -> Bool[np.ndarray, "H W"]:
            """Where what was put in lets less than half of the picture through."""
            black, white = (occlude(np.full_like(image, level))[0][..., 0] for level in (0, 255))
            return white - black < 128

        occluded, after = occlude(image)
        found = {"occluded": occluded, "covered": covered, "rows": _to_rows(after, rows, columns), "of": image}
        return super().apply_with_params({**params, **found}, *args, **{**kwargs, "image": image})

    def apply(self, img: np.ndarray, occluded: Image, covered: Covered, of: Image, **params: Any) -> np.ndarray:
        if img is of:
            return occluded
        return np.where(covered()[..., None], occluded, img) if img.shape == of.shape else _without(img, covered)

    def apply_to_mask(self, mask: np.ndarray, covered: Covered, **params: Any) -> np.ndarray:
        return _without(mask, covered)

    def apply_to_bboxes(self, bboxes: np.ndarray, **params: Any) -> np.ndarray:
        return bboxes

    def apply_to_keypoints(self, keypoints: np.ndarray, rows: np.ndarray, **params: Any) -> np.ndarray:
        return rows

    def _image(self, data: dict[str, Any]) -> Image:
        image = data.get("image")
        if image is None or image.dtype != np.uint8 or image.shape[2:] != (3,):
            got = None if image is None else f"{image.dtype} {image.shape}"
            do = "put it before A.Normalize and after A.ToRGB"
            raise UserError(
                "not a picture", where=type(self).__name__, expected="uint8 height x width x 3", got=got, do=do
            )
        return np.ascontiguousarray(image)

    def _columns(self) -> dict[str, int]:
        processor = self.get_processor("keypoints")
        params: Any = processor.params if processor else A.KeypointParams("xy", remove_invisible=False)
        fields = list(params.label_fields or [])
        if "visibility" not in fields or params.remove_invisible:
            raise UserError(
                "keypoints that are not everyone's with visibility",
                where=type(self).__name__,
                expected='KeypointParams(..., label_fields=["visibility"], remove_invisible=False)',
                got=f"label_fields={fields}, remove_invisible={params.remove_invisible}",
            )
        return {name: COORDINATES + fields.index(name) for name in FIELDS if name in fields}


class MaskJoints(_Occlude):
    """`dag.augmentation.occlusion.mask_joints` inside a `Compose`; sizes in pixels of the image that arrives.

    Keypoints stay, their visibility falls.

    Args:
        num_joints: joints a person.
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
    """`dag.augmentation.occlusion.paste_instance` inside a `Compose`, always in front of everybody.

    The pasted person's `num_joints` keypoints are appended; other label fields are copied from the target's rows (they
    name the joint). Its box is not.

    Args:
        pool: cut-out instances, or the path of a pool file.
        num_joints: joints a person.
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


def _to_instances(rows: Float[np.ndarray, "N columns"], columns: dict[str, int], num_joints: int) -> Instances:
    if len(rows) % num_joints:
        raise UserError(
            "keypoints are not whole instances",
            expected=f"a multiple of {num_joints}",
            got=len(rows),
            do="pass every joint of every person and set remove_invisible=False",
        )
    visibility = rows[:, columns["visibility"]]
    occluded = (visibility == Visibility.OCCLUDED) | (visibility == Visibility.RELABELLED)
    unknown = {
        "visibility_source": np.full(len(rows), Source.ANNOTATED),
        "occluder": np.where(occluded, Occluder.OBJECT, Occluder.UNKNOWN),
    }
    flags = {
        name: (rows[:, columns[name]] if name in columns else unknown[name]).astype(np.int8).reshape(-1, num_joints)
        for name in FIELDS
    }
    return Instances(rows[:, :2].astype(float).reshape(-1, num_joints, 2), **flags)


def _to_rows(
    instances: Instances, rows: Float[np.ndarray, "N columns"], columns: dict[str, int]
) -> Float[np.ndarray, "M columns"]:
    joints = instances.visibility.shape[1]
    new = instances.visibility.size // joints - len(rows) // joints
    rows = np.concatenate([rows] + [rows[:joints]] * new)
    rows[:, :2] = instances.keypoints_xy.reshape(-1, 2)
    for name, column in columns.items():
        rows[:, column] = getattr(instances, name).ravel()
    return rows


def _without(mask: np.ndarray, covered: Covered) -> np.ndarray:
    mask = mask.copy()
    mask[covered()] = 0
    return mask
