"""The losses l_m (multi-person heatmaps) and l_p (refined coordinates). l_t is the `loss` method of the head."""

from jaxtyping import Bool, Float
from torch import Tensor


def multi_person_loss(
    heatmaps: Float[Tensor, "B J H W"],
    targets: Float[Tensor, "B J H W"],
    ignore: Bool[Tensor, "B H W"] | Float[Tensor, "B H W"],
) -> Float[Tensor, ""]:
    """l_m: half the mean squared error of the heatmaps of all persons, as `HeatmapHead.loss`.

    Args:
        ignore: 1 where the error does not count (persons without keypoints, crowd regions).
    """
    error = (heatmaps.float() - targets) ** 2
    return 0.5 * (error * (1 - ignore.float())[:, None]).mean()


def coordinate_loss(
    xy: Float[Tensor, "B J 2"], gt_xy: Float[Tensor, "B J 2"], labelled: Bool[Tensor, "B J"]
) -> Float[Tensor, ""]:
    """l_p: mean absolute error of the labelled joints' coordinates, in their unit; 0 without labelled joints."""
    error = (xy.float() - gt_xy).abs().sum(-1) * labelled
    return error.sum() / (2 * labelled.sum()).clamp(min=1)
