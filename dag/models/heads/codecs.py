"""Heatmap codecs: encoding of keypoints as heatmaps and decoding of heatmaps, by HRNet (MSRA), DARK and UDP.

Frame: heatmap pixels, pixel index. Heatmaps are `[B, J, H, W]`, keypoints of several persons `[B, P, J, 2]`. All
computations are in float32.

To add a codec: write its functions here or in a module beside this one and add an entry to `CODECS`. The tests in
tests/models/heads/test_codecs.py run for every entry.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

BLOCK_ROWS = 8
"""Heatmap rows per block in `peaks`."""


@dataclass(frozen=True)
class Codec:
    """A pair of encoder and decoder, and the mapping between heatmap and input pixels.

    Attributes:
        gaussian: `(center [...], size, sigma)` to the Gaussian along one axis, `[..., size]`; in heatmap pixels.
        support_center: `(heatmap_xy)` to the centre of the Gaussian's support, whose radius is 3 sigma.
        decode: `(heatmaps, sigma)` to `(heatmap_xy [B, J, 2], score [B, J])`.
        aligned: whether the first and last pixels of heatmap and input coincide (UDP). Otherwise heatmap pixel i
            corresponds to input pixel `stride * i` (HRNet).
    """

    gaussian: Callable[[Tensor, int, float], Tensor]
    support_center: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor, float], tuple[Tensor, Tensor]]
    aligned: bool

    def encode(
        self,
        heatmap_xy: Float[Tensor, "B P J 2"],
        labelled: Bool[Tensor, "B P J"],
        size_hw: tuple[int, int],
        sigma: float,
    ) -> Float[Tensor, "B J H W"]:
        """Target heatmaps: the pixel-wise maximum of the Gaussians of P persons.

        Args:
            heatmap_xy: keypoints, which may lie outside the heatmap.
            labelled: false for joints that are not labelled and for padded persons.
            size_hw: height and width of the heatmaps.
            sigma: standard deviation in heatmap pixels.
        """
        encoded = labelled & self.overlaps_heatmap(heatmap_xy, size_hw, sigma)
        along_x = self.gaussian(heatmap_xy[..., 0].float(), size_hw[1], sigma) * encoded[..., None]
        along_y = self.gaussian(heatmap_xy[..., 1].float(), size_hw[0], sigma)
        # One person at a time: all at once would need P times the memory of the result.
        target = along_y[:, 0, :, :, None] * along_x[:, 0, :, None, :]
        for person in range(1, heatmap_xy.shape[1]):
            target = torch.maximum(target, along_y[:, person, :, :, None] * along_x[:, person, :, None, :])
        return target

    def overlaps_heatmap(
        self, heatmap_xy: Float[Tensor, "*shape 2"], size_hw: tuple[int, int], sigma: float
    ) -> Bool[Tensor, "*shape"]:
        """Whether the support of a joint's Gaussian (3 sigma) overlaps the heatmap; the loss ignores other joints."""
        center = self.support_center(heatmap_xy.float())
        size = torch.tensor([size_hw[1], size_hw[0]], device=center.device)
        radius = 3 * sigma
        return ((center - radius < size) & (center + radius + 1 >= 0)).all(-1)

    def input_per_heatmap(self, input_hw: tuple[int, int], size_hw: tuple[int, int]) -> Float[Tensor, "2"]:
        """Input pixels per heatmap pixel, along x and y."""
        excess = int(self.aligned)
        return torch.tensor([(input_hw[axis] - excess) / (size_hw[axis] - excess) for axis in (1, 0)])

    def mirror(self, heatmaps: Float[Tensor, "B J H W"], flip_index: Tensor) -> Float[Tensor, "B J H W"]:
        """Heatmaps of a horizontally flipped crop, flipped back, with left and right joints swapped.

        The mirror image of heatmap pixel i corresponds to input pixel W - 1 - i * stride. If aligned, this is heatmap
        pixel w - 1 - i. Otherwise it is closer to w - i, so the result is shifted by one pixel (HRNet
        lib/core/function.py, TEST.SHIFT_HEATMAP).

        Args:
            heatmaps: of the flipped crop.
            flip_index: `Skeleton.flip_index`.
        """
        flipped = heatmaps.index_select(1, flip_index).flip(-1)
        return flipped if self.aligned else torch.cat([flipped[..., :1], flipped[..., :-1]], dim=-1)


def peaks(heatmaps: Float[Tensor, "B J H W"]) -> tuple[Float[Tensor, "B J 2"], Float[Tensor, "B J"]]:
    """Location (x, y) and value of the maximum of each heatmap.

    The search first selects a block of rows, then the pixel in it: on a CPU this is five times as fast as `argmax`.
    """
    rows, width = math.gcd(heatmaps.shape[-2], BLOCK_ROWS), heatmaps.shape[-1]
    blocks = heatmaps.float().flatten(2).unflatten(2, (-1, rows * width))
    block = blocks.amax(-1).argmax(-1, keepdim=True)
    value, index = blocks.gather(2, block[..., None].expand(-1, -1, 1, rows * width))[:, :, 0].max(-1)
    index = index + block[..., 0] * rows * width
    return torch.stack([index % width, index // width], -1).float(), value


def decode_msra(
    heatmaps: Float[Tensor, "B J H W"], sigma: float
) -> tuple[Float[Tensor, "B J 2"], Float[Tensor, "B J"]]:
    """Keypoints and scores: the maximum, shifted by a quarter pixel towards the higher neighbour.

    As `get_final_preds` of HRNet's lib/core/inference.py. Maxima on the border are not shifted. A heatmap without
    positive values gives (0, 0), where mmpose gives (-1, -1).
    """
    xy, score = _positive_peaks(heatmaps)
    inside = _inside_border(xy, heatmaps, border=1)
    x, y = (xy.long() * inside[..., None]).unbind(-1)
    slope = _differences(heatmaps, x, y)
    return xy + 0.25 * slope.sign() * inside[..., None], score


def decode_dark(
    heatmaps: Float[Tensor, "B J H W"], sigma: float
) -> tuple[Float[Tensor, "B J 2"], Float[Tensor, "B J"]]:
    """Keypoints and scores: the maximum, refined by a Newton step on the logarithm of the blurred heatmap.

    Zhang et al., Distribution-Aware Coordinate Representation (DARK), CVPR 2020. As mmpose's `refine_keypoints_dark`,
    second derivatives use pixels at distance 2; maxima within two pixels of the border are not refined.
    """
    xy, score = _positive_peaks(heatmaps)
    log = gaussian_blur(heatmaps, sigma).clamp(min=1e-10).log()
    inside = _inside_border(xy, heatmaps, border=1, far_border=2)
    x, y = (xy.long() * inside[..., None]).unbind(-1)
    slope = _differences(log, x, y) / 2
    middle = _pixel(log, x, y)
    lower_right, lower_left = _pixel(log, x + 1, y + 1), _pixel(log, x - 1, y + 1)
    upper_right, upper_left = _pixel(log, x + 1, y - 1), _pixel(log, x - 1, y - 1)
    across = lower_right - lower_left - upper_right + upper_left
    along_x = _pixel(log, x + 2, y) - 2 * middle + _pixel(log, x - 2, y)
    along_y = _pixel(log, x, y + 2) - 2 * middle + _pixel(log, x, y - 2)
    return xy + _newton_step(slope, along_x / 4, across / 4, along_y / 4) * inside[..., None], score


def decode_udp(heatmaps: Float[Tensor, "B J H W"], sigma: float) -> tuple[Float[Tensor, "B J 2"], Float[Tensor, "B J"]]:
    """Keypoints and scores, as `decode_dark` with differences over one pixel; the border is replicated.

    Huang et al., The Devil Is in the Details (UDP), CVPR 2020. As mmpose's `refine_keypoints_dark_udp`.
    """
    xy, score = _positive_peaks(heatmaps)
    log = F.pad(gaussian_blur(heatmaps, sigma).clamp(1e-3, 50).log(), (1, 1, 1, 1), mode="replicate")
    x, y = (xy.long() + 1).unbind(-1)
    middle, right, below = _pixel(log, x, y), _pixel(log, x + 1, y), _pixel(log, x, y + 1)
    left, above = _pixel(log, x - 1, y), _pixel(log, x, y - 1)
    slope = torch.stack([right - left, below - above], -1) / 2
    across = _pixel(log, x + 1, y + 1) - right - below + 2 * middle - left - above + _pixel(log, x - 1, y - 1)
    step = _newton_step(slope, right - 2 * middle + left, across / 2, below - 2 * middle + above)
    return xy + step * (score > 0)[..., None], score


def gaussian_blur(heatmaps: Float[Tensor, "B J H W"], sigma: float) -> Float[Tensor, "B J H W"]:
    """Heatmaps after a Gaussian blur with zero padding, rescaled to their original maximum.

    Kernel sizes as in mmpose: 11 pixels for sigma 2, 17 for sigma 3. The kernel's standard deviation is the one that
    OpenCV derives from its size.
    """
    half = int(2.5 * sigma + 0.5)
    step = torch.arange(-half, half + 1, device=heatmaps.device)
    kernel = torch.exp(-(step.double() ** 2) / (2 * (0.3 * (half - 1) + 0.8) ** 2))
    kernel = (kernel / kernel.sum()).float()
    flat = heatmaps.float().flatten(0, 1)[:, None]
    blurred = F.conv2d(flat, kernel.view(1, 1, 1, -1), padding=(0, half))
    blurred = F.conv2d(blurred, kernel.view(1, 1, -1, 1), padding=(half, 0)).reshape(heatmaps.shape)
    maximum = blurred.amax((-2, -1), keepdim=True)
    return blurred * heatmaps.float().amax((-2, -1), keepdim=True) / torch.where(maximum == 0, 1, maximum)


def _newton_step(slope: Tensor, along_x: Tensor, across: Tensor, along_y: Tensor) -> Tensor:
    """`-H^-1 slope` with the 2 x 2 Hessian H; zero where H is singular."""
    determinant = along_x * along_y - across**2
    step_x = across * slope[..., 1] - along_y * slope[..., 0]
    step_y = across * slope[..., 0] - along_x * slope[..., 1]
    divisor = torch.where(determinant == 0, torch.inf, determinant)
    return torch.stack([step_x, step_y], -1) / divisor[..., None]


def _positive_peaks(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """`peaks`, with (0, 0) for heatmaps without positive values."""
    xy, score = peaks(heatmaps)
    return xy * (score > 0)[..., None], score


def _inside_border(xy: Tensor, heatmaps: Tensor, *, border: int, far_border: int = 1) -> Tensor:
    """Whether x and y are above `border` and below width and height less `far_border`."""
    last = torch.tensor([heatmaps.shape[-1] - far_border, heatmaps.shape[-2] - far_border], device=xy.device)
    return ((xy > border) & (xy < last)).all(-1)


def _pixel(values: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Values at integer (x, y), `[B, J]` each. Results outside the heatmap are undefined: callers mask them."""
    index = (y * values.shape[-1] + x).clamp(0, values.shape[-1] * values.shape[-2] - 1)
    return values.float().flatten(2).gather(2, index[..., None])[..., 0]


def _differences(values: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Right less left and lower less upper neighbour of pixel (x, y), `[B, J, 2]`."""
    along_x = _pixel(values, x + 1, y) - _pixel(values, x - 1, y)
    along_y = _pixel(values, x, y + 1) - _pixel(values, x, y - 1)
    return torch.stack([along_x, along_y], -1)


def _gaussian(center: Tensor, size: int, sigma: float) -> Tensor:
    """Gaussian around `center`, `[..., size]`."""
    return torch.exp(-((torch.arange(size, device=center.device) - center[..., None]) ** 2) / (2 * sigma**2))


def _support(center: Tensor, size: int, sigma: float) -> Tensor:
    """Whether a pixel is within 3 sigma of `center`, `[..., size]`."""
    return (torch.arange(size, device=center.device) - center[..., None]).abs() <= int(3 * sigma)


def _nearest_pixel(xy: Tensor) -> Tensor:
    return (xy + 0.5).trunc()


def _unchanged(xy: Tensor) -> Tensor:
    return xy


def _gaussian_msra(center: Tensor, size: int, sigma: float) -> Tensor:
    """Gaussian around the nearest pixel, truncated at 3 sigma."""
    pixel = _nearest_pixel(center)
    return _gaussian(pixel, size, sigma) * _support(pixel, size, sigma)


def _gaussian_udp(center: Tensor, size: int, sigma: float) -> Tensor:
    """Gaussian around the sub-pixel centre, truncated at 3 sigma from the nearest pixel."""
    return _gaussian(center, size, sigma) * _support(_nearest_pixel(center), size, sigma)


CODECS = {
    # generate_target of HRNet's lib/dataset/JointsDataset.py; mmpose: MSRAHeatmap
    "msra": Codec(_gaussian_msra, _nearest_pixel, decode_msra, aligned=False),
    # mmpose: MSRAHeatmap(unbiased=True)
    "dark": Codec(_gaussian, _unchanged, decode_dark, aligned=False),
    # mmpose: UDPHeatmap
    "udp": Codec(_gaussian_udp, _nearest_pixel, decode_udp, aligned=True),
}
