"""Heatmap head: one heatmap per joint."""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from dag.errors import UserError
from dag.models.heads.codecs import CODECS
from dag.models.heads.coordinates import local_integration, soft_argmax


class HeatmapHead(nn.Module):
    """A 1 x 1 convolution from features to one heatmap per joint, initialised as in HRNet with std 0.001.

    Args:
        channels: channels of the features.
        joints: number of joints, J.
        codec: key of `CODECS`, which encodes and decodes the heatmaps.
        sigma: standard deviation of the Gaussians, in heatmap pixels.

    Attributes:
        joints: number of joints, J.
        has_heatmaps: whether the output is heatmaps `[B, J, h, w]`.
        output: name of the predictions of this head.
        description: sentence that defines the output, for exported files.

    Raises:
        UserError: an unknown codec.
    """

    has_heatmaps = True
    output = "heatmap"

    def __init__(self, channels: int, joints: int, *, codec: str = "msra", sigma: float = 2.0):
        super().__init__()
        if codec not in CODECS:
            raise UserError("unknown codec", expected=f"one of {', '.join(CODECS)}", got=repr(codec))
        self.joints = joints
        self.codec = CODECS[codec]
        self.sigma = sigma
        self.description = f"heatmaps encoded by {codec} (dag.models.heads.codecs), sigma {sigma} heatmap pixels"
        self.final_layer = nn.Conv2d(channels, joints, 1)
        nn.init.normal_(self.final_layer.weight, std=0.001)
        nn.init.zeros_(self.final_layer.bias)  # type: ignore[arg-type]

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B J H W"]:
        """Heatmaps, with values of about 0 to 1."""
        return self.final_layer(features)

    def decode(
        self, heatmaps: Float[Tensor, "B J H W"], input_hw: tuple[int, int]
    ) -> tuple[Float[Tensor, "B J 2"], Float[Tensor, "B J"]]:
        """Keypoints in input pixels and their scores, the maxima of the heatmaps."""
        heatmap_xy, score = self.codec.decode(heatmaps, self.sigma)
        return heatmap_xy * self.input_per_feature(_size(heatmaps), input_hw).to(heatmaps.device), score

    def decode_differentiable(
        self, heatmaps: Float[Tensor, "B J H W"], input_hw: tuple[int, int], soft: bool
    ) -> tuple[Float[Tensor, "B J 2"], Float[Tensor, "B J"]]:
        """Keypoints in input pixels and peaks with a gradient, by `local_integration` or (`soft`) `soft_argmax`."""
        heatmap_xy, peak = (soft_argmax if soft else local_integration)(heatmaps)
        return heatmap_xy * self.input_per_feature(_size(heatmaps), input_hw).to(heatmaps.device), peak

    def mirror(self, heatmaps: Float[Tensor, "B J H W"], flip_index: Tensor) -> Float[Tensor, "B J H W"]:
        """Heatmaps of horizontally flipped crops, flipped back; see `Codec.mirror`."""
        return self.codec.mirror(heatmaps, flip_index)

    def targets(
        self,
        keypoints_input_xy: Float[Tensor, "B P J 2"],
        labelled: Bool[Tensor, "B P J"],
        size_hw: tuple[int, int],
        input_hw: tuple[int, int],
    ) -> Float[Tensor, "B J H W"]:
        """Target heatmaps of P persons; see `Codec.encode`."""
        stride = self.input_per_feature(size_hw, input_hw).to(keypoints_input_xy.device)
        return self.codec.encode(keypoints_input_xy / stride, labelled, size_hw, self.sigma)

    def loss(
        self,
        heatmaps: Float[Tensor, "B J H W"],
        keypoints_input_xy: Float[Tensor, "B J 2"],
        labelled: Bool[Tensor, "B J"],
        input_hw: tuple[int, int],
    ) -> Float[Tensor, ""]:
        """Target loss l_t: `heatmap_loss` over the labelled joints whose Gaussian overlaps the heatmap."""
        size_hw = _size(heatmaps)
        target = self.targets(keypoints_input_xy[:, None], labelled[:, None], size_hw, input_hw)
        heatmap_xy = keypoints_input_xy / self.input_per_feature(size_hw, input_hw).to(heatmaps.device)
        supervised = labelled & self.codec.overlaps_heatmap(heatmap_xy, size_hw, self.sigma)
        return heatmap_loss(heatmaps, target, supervised)

    def input_per_feature(self, size_hw: tuple[int, int], input_hw: tuple[int, int]) -> Float[Tensor, "2"]:
        """Input pixels per feature pixel, along x and y."""
        return self.codec.input_per_heatmap(input_hw, size_hw)


def heatmap_loss(
    heatmaps: Float[Tensor, "B J H W"], targets: Float[Tensor, "B J H W"], labelled: Bool[Tensor, "B J"]
) -> Float[Tensor, ""]:
    """Half the mean squared error over all pixels, joints and crops; the error of unlabelled joints is 0.

    As HRNet's JointsMSELoss (lib/core/loss.py) with target weights.
    """
    error = (heatmaps.float() - targets) ** 2
    return 0.5 * (error * labelled[..., None, None]).mean()


def _size(heatmaps: Tensor) -> tuple[int, int]:
    return heatmaps.shape[-2], heatmaps.shape[-1]
