"""Data (D): mask joints and instance paste, and the geometric and photometric transforms of training samples.

`dag.augmentation.albumentations` has both occlusions as transforms for any `albumentations.Compose`.
"""

from dag.augmentation.occlusion import mask_joints, paste_instance

__all__ = ["mask_joints", "paste_instance"]
