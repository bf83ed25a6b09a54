"""`MaskJoints` and `InstancePaste` for anyone's `albumentations.Compose` (2.0.8, the last release under MIT).

The pipeline's keypoints are everyone's joints, person after person, the target first. What is known of them travels in
label fields:

    A.Compose(
        [MaskJoints(num_joints=17), InstancePaste(Pool("pool.arrow"), num_joints=17)],
        keypoint_params=A.KeypointParams("xy", label_fields=["visibility"], remove_invisible=False),
        seed=1,
    )

Fields called `visibility_source` and `occluder` are kept up to date where the pipeline has them. Randomness comes from
the `Compose`. Frame: albumentations counts pixels as OpenCV does (its flip is `width - 1 - x`), the pixel-index frame
of this project. Its flips do not swap left and right joints.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import albumentations as A
import numpy as np
from albumentations.core.type_definitions import Targets
from jaxtyping import Bool, Float, UInt8

from dag.data.cutout import Cutout, Pool
from dag.data.occlusion import mask_joints, paste_instance
from dag.data.people import People
from dag.errors import UserError
from dag.person import Occluder, Source, Visibility

# albumentations' own columns of a keypoint: x, y, z, angle, scale; label fields follow.
COORDINATES = 5
FIELDS = {
    "visibility": Visibility.VISIBLE,
    "visibility_source": Source.ANNOTATED,
    "occluder": Occluder.UNKNOWN,
}


class _Occlude(A.DualTransform):
    _targets = (Targets.IMAGE, Targets.MASK, Targets.KEYPOINTS)

    def __init__(self, num_joints: int, p: float):
        super().__init__(p=p)
        self.num_joints = num_joints

    @abstractmethod
    def occlude(self, image: UInt8[np.ndarray, "H W 3"], people: People) -> tuple[UInt8[np.ndarray, "H W 3"], People]:
        """The plain function."""

    @property
    def targets_as_params(self) -> list[str]:
        return ["image", "keypoints"]

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        columns = self._columns()
        people = _to_people(data["keypoints"], columns, self.num_joints)
        image, people = self.occlude(data["image"], people)
        covered = (image != data["image"]).any(axis=-1)
        return {"occluded": image, "covered": covered, "rows": _to_rows(people, data["keypoints"], columns)}

    def apply(self, img: np.ndarray, occluded: np.ndarray, **params: Any) -> np.ndarray:
        return occluded

    def apply_to_mask(self, mask: np.ndarray, covered: Bool[np.ndarray, "H W"], **params: Any) -> np.ndarray:
        """What is covered leaves the mask."""
        mask = mask.copy()
        mask[covered] = 0
        return mask

    def apply_to_keypoints(self, keypoints: np.ndarray, rows: np.ndarray, **params: Any) -> np.ndarray:
        return rows

    def _columns(self) -> dict[str, int]:
        processor = self.get_processor("keypoints")
        fields = list((processor and processor.params.label_fields) or [])
        if "visibility" not in fields:
            raise UserError(
                "keypoints without visibility",
                where=type(self).__name__,
                expected="a label field 'visibility'",
                got=fields,
                do='use KeypointParams(..., label_fields=["visibility"], remove_invisible=False)',
            )
        return {name: COORDINATES + fields.index(name) for name in FIELDS if name in fields}


class MaskJoints(_Occlude):
    """`dag.data.occlusion.mask_joints` inside a `Compose`; sizes in pixels of the image that arrives.

    Masks lose what is covered. Keypoints stay, their visibility falls.

    Args:
        num_joints: joints a person.
        min_count, max_count, min_size, max_size: as in `mask_joints`.
        p: probability.
    """

    def __init__(
        self,
        num_joints: int,
        min_count: int = 1,
        max_count: int = 8,
        min_size: float = 10.0,
        max_size: float = 40.0,
        p: float = 0.5,
    ):
        super().__init__(num_joints, p)
        self.min_count, self.max_count = min_count, max_count
        self.min_size, self.max_size = min_size, max_size

    def occlude(self, image: UInt8[np.ndarray, "H W 3"], people: People) -> tuple[UInt8[np.ndarray, "H W 3"], People]:
        return mask_joints(
            image,
            people,
            self.random_generator,
            min_count=self.min_count,
            max_count=self.max_count,
            min_size=self.min_size,
            max_size=self.max_size,
        )


class InstancePaste(_Occlude):
    """`dag.data.occlusion.paste_instance` inside a `Compose`, always in front of everybody.

    Masks lose what is covered. The pasted person's `num_joints` keypoints are appended; other label fields are copied
    from the target's rows (they name the joint).

    Args:
        pool: cut-out people.
        num_joints: joints a person.
        min_scale, max_scale, max_rotation, max_covered: as in `paste_instance`.
        p: probability.
    """

    def __init__(
        self,
        pool: Pool | Sequence[Cutout],
        num_joints: int,
        min_scale: float = 0.7,
        max_scale: float = 1.3,
        max_rotation: float = 45.0,
        max_covered: float = 0.8,
        p: float = 0.5,
    ):
        super().__init__(num_joints, p)
        self.pool = pool
        self.min_scale, self.max_scale = min_scale, max_scale
        self.max_rotation, self.max_covered = max_rotation, max_covered

    def occlude(self, image: UInt8[np.ndarray, "H W 3"], people: People) -> tuple[UInt8[np.ndarray, "H W 3"], People]:
        return paste_instance(
            image,
            people,
            self.pool,
            self.random_generator,
            min_scale=self.min_scale,
            max_scale=self.max_scale,
            max_rotation=self.max_rotation,
            max_covered=self.max_covered,
        )


def _to_people(rows: Float[np.ndarray, "N columns"], columns: dict[str, int], num_joints: int) -> People:
    if not len(rows) or len(rows) % num_joints:
        raise UserError(
            "keypoints are not whole people",
            expected=f"a multiple of {num_joints}, at least one person",
            got=len(rows),
            do="pass every joint of every person and set remove_invisible=False",
        )
    numbers = {
        name: rows[:, columns[name]] if name in columns else np.full(len(rows), default)
        for name, default in FIELDS.items()
    }
    flags = {name: number.astype(np.int8).reshape(-1, num_joints) for name, number in numbers.items()}
    return People(rows[:, :2].astype(float).reshape(-1, num_joints, 2), **flags)


def _to_rows(
    people: People, rows: Float[np.ndarray, "N columns"], columns: dict[str, int]
) -> Float[np.ndarray, "M columns"]:
    joints = people.visibility.shape[1]
    new = people.visibility.size // joints - len(rows) // joints
    rows = np.concatenate([rows] + [rows[:joints]] * new)
    rows[:, :2] = people.keypoints_xy.reshape(-1, 2)
    for name, column in columns.items():
        rows[:, column] = getattr(people, name).ravel()
    return rows
