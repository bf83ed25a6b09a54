"""Inference: `predict_poses` maps images and bounding boxes to keypoints."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dag.inference.predictor import predict_poses

__all__ = ["predict_poses"]


def __getattr__(name: str) -> Any:
    """`predict_poses`, imported at first use: `dag.inference.nms` and `dag.inference.mean_pose` need no torch."""
    if name == "predict_poses":
        from dag.inference.predictor import predict_poses

        return predict_poses
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
