"""Codecs against the peers' metrics, and against sub-pixel ground truth."""

import numpy as np
import pytest
import torch

from dag.geometry import apply_affine, input_from_image, invert
from dag.models.heads.codecs import CODECS, decode_msra, smooth
from dag.models.heads.heatmap import HeatmapHead

INPUT_HW, SIZE_HW = (256, 192), (64, 48)
ENCODINGS = [
    ("msra", 2, "msra_sigma2"),
    ("msra", 3, "msra_sigma3"),
    ("dark", 2, "unbiased_sigma2"),
    ("udp", 2, "udp_sigma2"),
]


def gt(count: int, margin: float, size_hw: tuple[int, int] = SIZE_HW) -> torch.Tensor:
    """Sub-pixel places, `[count, 1, 17, 2]`."""
    share = torch.rand(count, 1, 17, 2, generator=torch.Generator().manual_seed(0))
    return margin + share * (torch.tensor([size_hw[1], size_hw[0]]) - 1 - 2 * margin)


def everyone(xy: torch.Tensor) -> torch.Tensor:
    return torch.ones(xy.shape[:-1], dtype=torch.bool)


def perfect(xy: torch.Tensor, sigma: float) -> torch.Tensor:
    return CODECS["dark"].encode(xy, everyone(xy), SIZE_HW, sigma)


@pytest.mark.parametrize(("name", "sigma", "key"), ENCODINGS)
def test_encodings_are_the_peers(name, sigma, key, real_data):
    golden, codec = np.load(real_data / "golden/heatmap_encoding.npz"), CODECS[name]
    xy = torch.from_numpy(golden["keypoints_input_xy"]) / codec.input_per_heatmap(INPUT_HW, SIZE_HW)
    labelled = torch.from_numpy(golden["labelled"] > 0)
    targets = codec.encode(xy[:, None], labelled[:, None], SIZE_HW, float(sigma))
    np.testing.assert_allclose(targets.numpy(), golden[key], rtol=1e-6, atol=2e-7)
    asked = codec.reaches(xy, SIZE_HW, float(sigma)) & labelled
    np.testing.assert_array_equal(asked.numpy(), golden[f"{key}_weight"][:, 0] > 0)


def test_decoding_is_hrnets(real_data):
    golden = np.load(real_data / "golden/heatmap_decoding.npz")
    xy, score = decode_msra(torch.from_numpy(golden["heatmaps"]), 2.0)
    np.testing.assert_array_equal(score.numpy(), golden["hrnet_score"][..., 0])
    for index in range(len(xy)):
        image_from_heatmap = invert(input_from_image(golden["center"][index], golden["scale"][index] * 200, (48, 64)))
        image_xy = apply_affine(image_from_heatmap, xy[index].double().numpy())
        np.testing.assert_allclose(image_xy, golden["hrnet_image_xy"][index], rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("name", CODECS)
def test_decodings_are_mmposes_where_they_mean_the_same(name, real_data):
    """Three differences, on purpose.

    Nowhere positive: mmpose says (-1, -1), HRNet and we (0, 0). Quarter shift on the border: mmpose moves along the
    other axis, HRNet and we not at all. UDP: mmpose multiplies by the input's size where its encoding divides by the
    size less one, so that it does not find its own targets; ours is the encoding's inverse.
    """
    golden, codec = np.load(real_data / "golden/heatmap_decoding.npz"), CODECS[name]
    heatmap_xy, score = codec.decode(torch.from_numpy(golden["heatmaps"]), 2.0)
    peaks = golden["heatmaps"].reshape(6, 17, -1).argmax(-1)
    column, row = peaks % 48, peaks // 48
    same = score.numpy() > 0
    if name == "msra":
        same &= (column > 1) & (column < 47) & (row > 1) & (row < 63)
    scale = torch.tensor([192 / 47, 256 / 63]) if name == "udp" else codec.input_per_heatmap(INPUT_HW, SIZE_HW)
    assert same.sum() > 60
    np.testing.assert_allclose((heatmap_xy * scale).numpy()[same], golden[f"decode_{name}"][same], atol=1e-4)
    np.testing.assert_array_equal(score.numpy(), golden[f"score_{name}"])


@pytest.mark.parametrize("sigma", [2.0, 3.0])
def test_decoding_of_perfect_gaussians(sigma):
    xy = gt(16, 6)
    error = {
        name: (codec.decode(perfect(xy, sigma), sigma)[0] - xy[:, 0]).norm(dim=-1) for name, codec in CODECS.items()
    }
    assert error["msra"].max() <= np.hypot(0.25, 0.25) + 1e-3
    assert error["dark"].mean() < 0.05
    assert error["udp"].mean() < 0.05


def test_udp_finds_its_own_targets():
    head, xy = HeatmapHead(1, 17, codec="udp"), gt(32, 24, INPUT_HW)
    found, _ = head.decode(head.targets(xy, everyone(xy), SIZE_HW, INPUT_HW), INPUT_HW)
    assert (found - xy[:, 0]).norm(dim=-1).mean() < 1e-2


@pytest.mark.parametrize("name", CODECS)
def test_lit_pixel_and_target_coincide(name):
    xy = torch.tensor([[[[13.0, 4.0]]]])
    target = CODECS[name].encode(xy, everyone(xy), (16, 24), 2.0)
    assert (target[0, 0] == 1).nonzero().tolist() == [[4, 13]]


@pytest.mark.parametrize("name", CODECS)
def test_targets_of_several_people_are_their_maximum(name):
    xy = torch.tensor([[[[5.0, 6.0]], [[7.0, 6.0]], [[20.0, 20.0]]]])
    labelled = torch.tensor([[[True], [True], [False]]])
    codec = CODECS[name]
    together = codec.encode(xy, labelled, (32, 24), 2.0)
    alone = [codec.encode(xy[:, [p]], labelled[:, [p]], (32, 24), 2.0) for p in range(3)]
    assert torch.equal(together, torch.maximum(alone[0], alone[1]))
    assert together[0, 0, 6, 5] == together[0, 0, 6, 7] == 1
    assert alone[2].sum() == 0


@pytest.mark.parametrize("name", CODECS)
def test_nowhere_positive_gives_the_corner(name):
    xy, score = CODECS[name].decode(torch.full((1, 2, 16, 12), -0.5), 2.0)
    assert xy.tolist() == [[[0, 0], [0, 0]]]
    assert score.tolist() == [[-0.5, -0.5]]


@pytest.mark.parametrize("name", CODECS)
def test_mirrored_heatmaps_come_back(name):
    """A crop and its mirror image, both coded: mirrored back, the second is the first."""
    head, xy = HeatmapHead(1, 17, codec=name), gt(4, 60, INPUT_HW)
    plain = head.targets(xy, everyone(xy), SIZE_HW, INPUT_HW)
    there = torch.stack([INPUT_HW[1] - 1 - xy[..., 0], xy[..., 1]], -1)
    back = head.mirror(head.targets(there, everyone(xy), SIZE_HW, INPUT_HW), torch.arange(17))
    found, _ = head.decode((plain + back) / 2, INPUT_HW)
    # Without alignment the pixel that the result is moved by is a quarter pixel (one input pixel) too much.
    limit = {"msra": 2.2, "dark": 0.6, "udp": 0.05}[name]
    assert (found - xy[:, 0]).norm(dim=-1).mean() < limit
    assert torch.equal(head.mirror(head.mirror(plain, torch.arange(17)), torch.arange(17))[..., 2:-2], plain[..., 2:-2])


def test_smoothing_keeps_the_height():
    heatmaps = perfect(gt(2, 6), 2.0)
    torch.testing.assert_close(smooth(heatmaps, 2.0).amax((-2, -1)), heatmaps.amax((-2, -1)))
