"""Data augmentation (D): mask joints and instance paste, and geometric and photometric transforms of training samples.

`MaskJoints` and `InstancePaste` of `dag.augmentation.albumentations` are both occlusions as Albumentations transforms;
that module is not imported here, because albumentations is optional.
"""

from dag.augmentation.occlusion import mask_joints, paste_instance

__all__ = ["mask_joints", "paste_instance"]
