"""How joints are written into heatmaps and read out of them: HRNet's codec, DARK's and UDP's.

A codec is a pair of functions and a statement of which input pixel a heatmap pixel stands for. Frame: heatmap pixels,
pixel index; heatmaps are `[B, J, H, W]`, several people's joints `[B, P, J, 2]`. Everything is in float32.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

BLOCK_ROWS = 8
"""Of a heatmap, in the search for its highest pixel."""


@dataclass(frozen=True)
class Codec:
    """One codec.

    Attributes:
        spread: `(center, size, sigma)` to the Gaussian along one axis: `center [...]` in heatmap pixels to
            `[..., size]`.
        place: `(heatmap_xy)` to the place from which the Gaussian's reach (3 sigma) is counted.
        decode: heatmaps and their Gaussians' sigma to `(heatmap_xy [B, J, 2], score [B, J])`.
        aligned: the first and last pixels of heatmap and input coincide (UDP); otherwise heatmap pixel i stands for
            input pixel `stride * i`, as HRNet has it.
    """

    spread: Callable[[Tensor, int, float], Tensor]
    place: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor, float], tuple[Tensor, Tensor]]
    aligned: bool

    def encode(
        self,
        heatmap_xy: Float[Tensor, "B P J 2"],
        labelled: Bool[Tensor, "B P J"],
        size_hw: tuple[int, int],
        sigma: float,
    ) -> Float[Tensor, "B J H W"]:
        """Gaussians of several people's joints; a pixel has the largest value of all of them.

        Args:
            heatmap_xy: may lie outside.
            labelled: false where there is no such joint or person.
            size_hw: heatmap height and width.
            sigma: in heatmap pixels.
        """
        asked = labelled & self.reaches(heatmap_xy, size_hw, sigma)
        along_x = self.spread(heatmap_xy[..., 0].float(), size_hw[1], sigma) * asked[..., None]
        along_y = self.spread(heatmap_xy[..., 1].float(), size_hw[0], sigma)
        # A person at a time: all at once would need P times the memory of the result.
        target = along_y[:, 0, :, :, None] * along_x[:, 0, :, None, :]
        for person in range(1, heatmap_xy.shape[1]):
            target = torch.maximum(target, along_y[:, person, :, :, None] * along_x[:, person, :, None, :])
        return target

    def reaches(
        self, heatmap_xy: Float[Tensor, "*shape 2"], size_hw: tuple[int, int], sigma: float
    ) -> Bool[Tensor, "*shape"]:
        """True where a joint's Gaussian (3 sigma) touches the heatmap: the loss leaves the other joints out."""
        place = self.place(heatmap_xy.float())
        size = torch.tensor([size_hw[1], size_hw[0]], device=place.device)
        radius = 3 * sigma
        return ((place - radius < size) & (place + radius + 1 >= 0)).all(-1)

    def input_per_heatmap(self, input_hw: tuple[int, int], size_hw: tuple[int, int]) -> Float[Tensor, "2"]:
        """Input pixels a heatmap pixel, along x and y."""
        less = int(self.aligned)
        return torch.tensor([(input_hw[axis] - less) / (size_hw[axis] - less) for axis in (1, 0)])

    def mirror(self, heatmaps: Float[Tensor, "B J H W"], flip_index: Tensor) -> Float[Tensor, "B J H W"]:
        """Heatmaps of the mirrored crop as heatmaps of the crop, joints renamed.

        The mirror of heatmap pixel i stands for input pixel W - 1 - i * stride. Aligned, that is heatmap pixel
        w - 1 - i; else it is nearer to w - i, so the result moves by a pixel (HRNet lib/core/function.py,
        TEST.SHIFT_HEATMAP).
        """
        back = heatmaps.index_select(1, flip_index).flip(-1)
        return back if self.aligned else torch.cat([back[..., :1], back[..., :-1]], dim=-1)


def peaks(heatmaps: Float[Tensor, "B J H W"]) -> tuple[Float[Tensor, "B J 2"], Float[Tensor, "B J"]]:
    """Pixel (x, y) and height of the highest value of each heatmap.

    The block of rows first, then the pixel in it: on a CPU five times as fast as all pixels at once.
    """
    rows, width = math.gcd(heatmaps.shape[-2], BLOCK_ROWS), heatmaps.shape[-1]
    blocks = heatmaps.float().flatten(2).unflatten(2, (-1, rows * width))
    block = blocks.amax(-1).argmax(-1, keepdim=True)
    height, index = blocks.gather(2, block[..., None].expand(-1, -1, 1, rows * width))[:, :, 0].max(-1)
    index = index + block[..., 0] * rows * width
    return torch.stack([index % width, index // width], -1).float(), height


def decode_msra(
    heatmaps: Float[Tensor, "B J H W"], sigma: float
) -> tuple[Float[Tensor, "B J 2"], Float[Tensor, "B J"]]:
    """The highest pixel, moved a quarter pixel towards its higher neighbour.

    As `get_final_preds` of HRNet's lib/core/inference.py: no move on the border; a heatmap that is nowhere positive
    gives (0, 0), where mmpose gives (-1, -1).
    """
    xy, score = _positive_peaks(heatmaps)
    inside = _away(xy, heatmaps, border=1)
    x, y = (xy.long() * inside[..., None]).unbind(-1)
    slope = torch.stack(
        [_at(heatmaps, x + 1, y) - _at(heatmaps, x - 1, y), _at(heatmaps, x, y + 1) - _at(heatmaps, x, y - 1)], -1
    )
    return xy + 0.25 * slope.sign() * inside[..., None], score


def decode_dark(
    heatmaps: Float[Tensor, "B J H W"], sigma: float
) -> tuple[Float[Tensor, "B J 2"], Float[Tensor, "B J"]]:
    """The top of the parabola round the highest pixel of the logarithm of the smoothed heatmap.

    Zhang et al., Distribution-Aware Coordinate Representation, CVPR 2020; differences over two pixels, none within
    two pixels of the border, as mmpose's `refine_keypoints_dark`.
    """
    xy, score = _positive_peaks(heatmaps)
    log = smooth(heatmaps, sigma).clamp(min=1e-10).log()
    inside = _away(xy, heatmaps, border=1, far=2)
    x, y = (xy.long() * inside[..., None]).unbind(-1)
    slope = torch.stack([_at(log, x + 1, y) - _at(log, x - 1, y), _at(log, x, y + 1) - _at(log, x, y - 1)], -1) / 2
    middle = _at(log, x, y)
    across = _at(log, x + 1, y + 1) - _at(log, x - 1, y + 1) - _at(log, x + 1, y - 1) + _at(log, x - 1, y - 1)
    along_x = _at(log, x + 2, y) - 2 * middle + _at(log, x - 2, y)
    along_y = _at(log, x, y + 2) - 2 * middle + _at(log, x, y - 2)
    return xy + _newton(slope, along_x / 4, across / 4, along_y / 4) * inside[..., None], score


def decode_udp(heatmaps: Float[Tensor, "B J H W"], sigma: float) -> tuple[Float[Tensor, "B J 2"], Float[Tensor, "B J"]]:
    """As `decode_dark`, differences over one pixel, also on the border, where the outermost pixel is repeated.

    Huang et al., The Devil Is in the Details (UDP), CVPR 2020; as mmpose's `refine_keypoints_dark_udp`.
    """
    xy, score = _positive_peaks(heatmaps)
    log = F.pad(smooth(heatmaps, sigma).clamp(1e-3, 50).log(), (1, 1, 1, 1), mode="replicate")
    x, y = (xy.long() + 1).unbind(-1)
    middle, right, below = _at(log, x, y), _at(log, x + 1, y), _at(log, x, y + 1)
    left, above = _at(log, x - 1, y), _at(log, x, y - 1)
    slope = torch.stack([right - left, below - above], -1) / 2
    across = _at(log, x + 1, y + 1) - right - below + 2 * middle - left - above + _at(log, x - 1, y - 1)
    step = _newton(slope, right - 2 * middle + left, across / 2, below - 2 * middle + above)
    return xy + step * (score > 0)[..., None], score


def smooth(heatmaps: Float[Tensor, "B J H W"], sigma: float) -> Float[Tensor, "B J H W"]:
    """Blurred by about their own width, nothing beyond the border, scaled to the height that they had.

    mmpose's sizes: 11 pixels for sigma 2, 17 for sigma 3; the blur's deviation is what OpenCV derives from its size.
    """
    half = int(2.5 * sigma + 0.5)
    step = torch.arange(-half, half + 1, device=heatmaps.device)
    kernel = torch.exp(-(step.double() ** 2) / (2 * (0.3 * (half - 1) + 0.8) ** 2))
    kernel = (kernel / kernel.sum()).float()
    flat = heatmaps.float().flatten(0, 1)[:, None]
    blurred = F.conv2d(flat, kernel.view(1, 1, 1, -1), padding=(0, half))
    blurred = F.conv2d(blurred, kernel.view(1, 1, -1, 1), padding=(half, 0)).reshape(heatmaps.shape)
    height = blurred.amax((-2, -1), keepdim=True)
    return blurred * heatmaps.float().amax((-2, -1), keepdim=True) / torch.where(height == 0, 1, height)


def _newton(slope: Tensor, along_x: Tensor, across: Tensor, along_y: Tensor) -> Tensor:
    """`-H^-1 slope` of 2 x 2 matrices H; no step where H cannot be inverted."""
    determinant = along_x * along_y - across**2
    step_x = across * slope[..., 1] - along_y * slope[..., 0]
    step_y = across * slope[..., 0] - along_x * slope[..., 1]
    safe = torch.where(determinant == 0, torch.inf, determinant)
    return torch.stack([step_x, step_y], -1) / safe[..., None]


def _positive_peaks(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    xy, score = peaks(heatmaps)
    return xy * (score > 0)[..., None], score


def _away(xy: Tensor, heatmaps: Tensor, *, border: int, far: int = 1) -> Tensor:
    """Pixels further than `border` from the first and `far` from the last row and column."""
    last = torch.tensor([heatmaps.shape[-1] - far, heatmaps.shape[-2] - far], device=xy.device)
    return ((xy > border) & (xy < last)).all(-1)


def _at(values: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Values at integer (x, y), `[B, J]` each; beyond the border what index arithmetic gives, for callers that mask."""
    index = (y * values.shape[-1] + x).clamp(0, values.shape[-1] * values.shape[-2] - 1)
    return values.float().flatten(2).gather(2, index[..., None])[..., 0]


def _gaussian(center: Tensor, size: int, sigma: float) -> Tensor:
    return torch.exp(-((torch.arange(size, device=center.device) - center[..., None]) ** 2) / (2 * sigma**2))


def _near(center: Tensor, size: int, sigma: float) -> Tensor:
    """1 within 3 sigma of a pixel."""
    return (torch.arange(size, device=center.device) - center[..., None]).abs() <= int(3 * sigma)


def _nearest(xy: Tensor) -> Tensor:
    return (xy + 0.5).trunc()


def _as_it_is(xy: Tensor) -> Tensor:
    return xy


CODECS = {
    "msra": Codec(  # generate_target of HRNet's lib/dataset/JointsDataset.py; mmpose: MSRAHeatmap
        spread=lambda c, size, sigma: _gaussian(_nearest(c), size, sigma) * _near(_nearest(c), size, sigma),
        place=_nearest,
        decode=decode_msra,
        aligned=False,
    ),
    "dark": Codec(spread=_gaussian, place=_as_it_is, decode=decode_dark, aligned=False),  # MSRAHeatmap(unbiased=True)
    "udp": Codec(  # mmpose: UDPHeatmap
        spread=lambda c, size, sigma: _gaussian(c, size, sigma) * _near(_nearest(c), size, sigma),
        place=_nearest,
        decode=decode_udp,
        aligned=True,
    ),
}
