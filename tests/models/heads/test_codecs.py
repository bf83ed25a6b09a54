"""Codecs against reference outputs of HRNet and mmpose, and against sub-pixel ground truth."""

import numpy as np
import pytest
import torch

from dag.geometry import apply_affine, input_from_image, invert
from dag.models.heads.codecs import CODECS, decode_msra, gaussian_blur

INPUT_HW, SIZE_HW = (256, 192), (64, 48)
ENCODINGS = [
    ("msra", 2, "msra_sigma2"),
    ("msra", 3, "msra_sigma3"),
    ("dark", 2, "unbiased_sigma2"),
    ("udp", 2, "udp_sigma2"),
]


def random_keypoints(count: int, margin: float, size_hw: tuple[int, int] = SIZE_HW) -> torch.Tensor:
    """Sub-pixel coordinates, `[count, 1, 17, 2]`."""
    fraction = torch.rand(count, 1, 17, 2, generator=torch.Generator().manual_seed(0))
    return margin + fraction * (torch.tensor([size_hw[1], size_hw[0]]) - 1 - 2 * margin)


def all_labelled(xy: torch.Tensor) -> torch.Tensor:
    return torch.ones(xy.shape[:-1], dtype=torch.bool)


def gaussians(xy: torch.Tensor, sigma: float) -> torch.Tensor:
    return CODECS["dark"].encode(xy, all_labelled(xy), SIZE_HW, sigma)


@pytest.mark.parametrize(("name", "sigma", "key"), ENCODINGS)
def test_encodings_equal_mmpose(name, sigma, key, real_data):
    golden, codec = np.load(real_data / "golden/heatmap_encoding.npz"), CODECS[name]
    xy = torch.from_numpy(golden["keypoints_input_xy"]) / codec.input_per_heatmap(INPUT_HW, SIZE_HW)
    labelled = torch.from_numpy(golden["labelled"] > 0)
    targets = codec.encode(xy[:, None], labelled[:, None], SIZE_HW, float(sigma))
    np.testing.assert_allclose(targets.numpy(), golden[key], rtol=1e-6, atol=2e-7)
    supervised = codec.overlaps_heatmap(xy, SIZE_HW, float(sigma)) & labelled
    np.testing.assert_array_equal(supervised.numpy(), golden[f"{key}_weight"][:, 0] > 0)


def test_decoding_equals_hrnet(real_data):
    golden = np.load(real_data / "golden/heatmap_decoding.npz")
    xy, score = decode_msra(torch.from_numpy(golden["heatmaps"]), 2.0)
    np.testing.assert_array_equal(score.numpy(), golden["hrnet_score"][..., 0])
    for index in range(len(xy)):
        image_from_heatmap = invert(input_from_image(golden["center"][index], golden["scale"][index] * 200, (48, 64)))
        image_xy = apply_affine(image_from_heatmap, xy[index].double().numpy())
        np.testing.assert_allclose(image_xy, golden["hrnet_image_xy"][index], rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("name", ["msra", "dark", "udp"])
def test_decodings_equal_mmpose_where_conventions_agree(name, real_data):
    """There are three deliberate differences.

    No positive value: mmpose gives (-1, -1), HRNet and DAG (0, 0). Quarter shift on the border: mmpose shifts along the
    other axis, HRNet and DAG do not shift. UDP: mmpose multiplies by the input size, although its encoding divides by
    the size less one, so that it does not recover its own targets; in DAG decoding is the inverse of encoding.
    """
    golden, codec = np.load(real_data / "golden/heatmap_decoding.npz"), CODECS[name]
    heatmap_xy, score = codec.decode(torch.from_numpy(golden["heatmaps"]), 2.0)
    peaks = golden["heatmaps"].reshape(6, 17, -1).argmax(-1)
    column, row = peaks % 48, peaks // 48
    comparable = score.numpy() > 0
    if name == "msra":
        comparable &= (column > 1) & (column < 47) & (row > 1) & (row < 63)
    scale = torch.tensor([192 / 47, 256 / 63]) if name == "udp" else codec.input_per_heatmap(INPUT_HW, SIZE_HW)
    assert comparable.sum() > 60
    np.testing.assert_allclose(
        (heatmap_xy * scale).numpy()[comparable], golden[f"decode_{name}"][comparable], atol=1e-4
    )
    np.testing.assert_array_equal(score.numpy(), golden[f"score_{name}"])


@pytest.mark.parametrize("sigma", [2.0, 3.0])
def test_decoding_of_exact_gaussians(sigma):
    xy = random_keypoints(16, 6)
    error = {
        name: (codec.decode(gaussians(xy, sigma), sigma)[0] - xy[:, 0]).norm(dim=-1) for name, codec in CODECS.items()
    }
    assert error["msra"].max() <= np.hypot(0.25, 0.25) + 1e-3
    assert error["dark"].mean() < 0.05
    assert error["udp"].mean() < 0.05


@pytest.mark.parametrize("name", CODECS)
def test_the_maximum_of_a_target_is_at_the_keypoint(name):
    xy = torch.tensor([[[[13.0, 4.0]]]])
    target = CODECS[name].encode(xy, all_labelled(xy), (16, 24), 2.0)
    assert (target[0, 0] == 1).nonzero().tolist() == [[4, 13]]


@pytest.mark.parametrize("name", CODECS)
def test_targets_of_several_persons_are_their_maximum(name):
    xy = torch.tensor([[[[5.0, 6.0]], [[7.0, 6.0]], [[20.0, 20.0]]]])
    labelled = torch.tensor([[[True], [True], [False]]])
    codec = CODECS[name]
    combined = codec.encode(xy, labelled, (32, 24), 2.0)
    single = [codec.encode(xy[:, [p]], labelled[:, [p]], (32, 24), 2.0) for p in range(3)]
    assert torch.equal(combined, torch.maximum(single[0], single[1]))
    assert combined[0, 0, 6, 5] == combined[0, 0, 6, 7] == 1
    assert single[2].sum() == 0


@pytest.mark.parametrize("name", CODECS)
def test_heatmaps_without_positive_values_give_the_corner(name):
    xy, score = CODECS[name].decode(torch.full((1, 2, 16, 12), -0.5), 2.0)
    assert xy.tolist() == [[[0, 0], [0, 0]]]
    assert score.tolist() == [[-0.5, -0.5]]


def test_blur_keeps_the_maximum():
    heatmaps = gaussians(random_keypoints(2, 6), 2.0)
    torch.testing.assert_close(gaussian_blur(heatmaps, 2.0).amax((-2, -1)), heatmaps.amax((-2, -1)))
