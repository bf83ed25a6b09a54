"""The three losses of DAG: l_t (target's heatmaps), l_m (everyone's heatmaps), l_p (refined coordinates)."""

from jaxtyping import Bool, Float
from torch import Tensor


def heatmap_loss(
    heatmaps: Float[Tensor, "B J H W"], targets: Float[Tensor, "B J H W"], labelled: Bool[Tensor, "B J"]
) -> Float[Tensor, ""]:
    """l_t: half the squared error, averaged over all pixels, joints and crops; unlabelled joints count as no error.

    HRNet's JointsMSELoss (lib/core/loss.py) with target weights.
    """
    error = (heatmaps.float() - targets) ** 2
    return 0.5 * (error * labelled[..., None, None]).mean()


def multi_person_loss(
    heatmaps: Float[Tensor, "B J H W"],
    targets: Float[Tensor, "B J H W"],
    ignore: Bool[Tensor, "B H W"] | Float[Tensor, "B H W"],
) -> Float[Tensor, ""]:
    """l_m: as l_t, for everyone's joints; nothing is asked where `ignore` is 1 (un-annotated people, crowds)."""
    error = (heatmaps.float() - targets) ** 2
    return 0.5 * (error * (1 - ignore.float())[:, None]).mean()


def coordinate_loss(
    xy: Float[Tensor, "B J 2"], truth_xy: Float[Tensor, "B J 2"], labelled: Bool[Tensor, "B J"]
) -> Float[Tensor, ""]:
    """l_p: mean absolute error of the labelled joints' coordinates, in the unit of the coordinates; 0 without any."""
    error = (xy.float() - truth_xy).abs().sum(-1) * labelled
    return error.sum() / (2 * labelled.sum()).clamp(min=1)
