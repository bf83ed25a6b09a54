"""The losses of DAG: l_m (everyone's heatmaps) and l_p (refined coordinates). l_t is the head's own `loss`."""

from jaxtyping import Bool, Float
from torch import Tensor


def multi_person_loss(
    heatmaps: Float[Tensor, "B J H W"],
    targets: Float[Tensor, "B J H W"],
    ignore: Bool[Tensor, "B H W"] | Float[Tensor, "B H W"],
) -> Float[Tensor, ""]:
    """l_m: as `HeatmapHead.loss`, for everyone's joints.

    Nothing is asked where `ignore` is 1 (un-annotated people, crowds).
    """
    error = (heatmaps.float() - targets) ** 2
    return 0.5 * (error * (1 - ignore.float())[:, None]).mean()


def coordinate_loss(
    xy: Float[Tensor, "B J 2"], gt_xy: Float[Tensor, "B J 2"], labelled: Bool[Tensor, "B J"]
) -> Float[Tensor, ""]:
    """l_p: mean absolute error of the labelled joints' coordinates, in the unit of the coordinates; 0 without any."""
    error = (xy.float() - gt_xy).abs().sum(-1) * labelled
    return error.sum() / (2 * labelled.sum()).clamp(min=1)
