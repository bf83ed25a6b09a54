import cv2
import numpy as np
import pytest
import torch

from dag.augmentation.batch_transforms import denormalise, jitter, normalise, warp, warp_ignore
from dag.geometry import apply_affine, compose, input_from_image, mirror
from dag.image import MEAN, STD
from dag.models.heads.heatmap import HeatmapHead

CANVAS, INPUT = (120, 160), (96, 128)


def _matrices(count: int = 12) -> np.ndarray:
    rng = np.random.default_rng(0)
    matrices = []
    for number in range(count):
        center, size = np.array(CANVAS) / 2 + rng.normal(size=2) * 8, np.array(INPUT) * rng.uniform(0.65, 1.35)
        affine = input_from_image(center, size, INPUT, float(rng.uniform(-90, 90)))
        matrices.append(compose(mirror(INPUT[0]), affine) if number % 2 else affine)
    return np.stack(matrices)


def _images(count: int = 12) -> np.ndarray:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (count, 20, 15, 3), dtype=np.uint8)
    return np.stack([cv2.resize(image, CANVAS, interpolation=cv2.INTER_CUBIC) for image in noise])


def _warp(images: np.ndarray, matrices: np.ndarray) -> torch.Tensor:
    return warp(torch.from_numpy(images), torch.from_numpy(matrices.astype(np.float32)), INPUT[::-1])


def test_warp_agrees_with_opencv_within_one_grey_level() -> None:
    images, matrices = _images(), _matrices()
    warped_images = denormalise(_warp(images, matrices)).permute(0, 2, 3, 1).numpy() * 255
    reference = [cv2.warpAffine(image, matrix, INPUT) for image, matrix in zip(images, matrices)]
    assert any((image.sum(axis=-1) == 0).any() for image in reference)
    for expected, warped in zip(reference, warped_images):
        difference = np.abs(warped - expected)
        assert difference.mean() < 1
        assert np.quantile(difference, 0.999) < 8


def test_whole_pixel_shifts_are_exact() -> None:
    images = _images(1)
    matrix = np.array([[[1.0, 0, -12], [0, 1, -16]]])
    warped = denormalise(_warp(images, matrix))[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(warped - images[0, 16:144, 12:108]).max() < 0.02


def test_a_lit_pixel_stays_at_its_joint() -> None:
    rng = np.random.default_rng(2)
    for matrix in _matrices():
        joint = rng.integers([50, 70], [70, 90])
        image = np.zeros((1, CANVAS[1], CANVAS[0], 3), np.uint8)
        image[0, joint[1], joint[0]] = 255
        lit = denormalise(_warp(image, matrix[None]))[0, 0].numpy().clip(1e-4) - 1e-4
        expected = apply_affine(matrix, joint[None].astype(float))[0]
        rows, columns = np.indices(lit.shape)
        centroid = np.array([(lit * columns).sum(), (lit * rows).sum()]) / lit.sum()
        assert np.abs(centroid - expected).max() < 0.5


def test_outside_the_canvas_is_black_before_normalisation() -> None:
    images = np.full((1, CANVAS[1], CANVAS[0], 3), 255, np.uint8)
    away = np.array([[[1.0, 0, 1000], [0, 1, 0]]])
    black = -torch.tensor(MEAN) / torch.tensor(STD)
    assert torch.allclose(_warp(images, away), black.view(1, 3, 1, 1).expand(1, 3, 128, 96))


def test_a_sample_does_not_depend_on_its_batch() -> None:
    images, matrices = _images(), _matrices()
    assert torch.equal(_warp(images, matrices)[5:6], _warp(images[5:6], matrices[5:6]))


def test_ignored_blocks_move_with_the_image() -> None:
    for matrix in _matrices():
        ignore = np.zeros((1, CANVAS[1] // 4, CANVAS[0] // 4), np.uint8)
        ignore[0, 12:26, 8:20] = 1
        image = np.repeat(np.repeat(ignore, 4, axis=1), 4, axis=2)[..., None].repeat(3, axis=-1) * np.uint8(255)
        moved = denormalise(_warp(image, matrix[None]))[0, 0].numpy()
        blocks = moved.reshape(32, 4, 24, 4).mean(axis=(1, 3))
        matrix32 = torch.from_numpy(matrix[None].astype(np.float32))
        warped = warp_ignore(torch.from_numpy(ignore), matrix32, (32, 24))[0].numpy()
        assert set(np.unique(warped)) <= {0, 1}
        clear = np.abs(blocks - 0.5) > 0.45
        assert np.array_equal(warped[clear], (blocks > 0.5)[clear])


def test_normalise_and_back() -> None:
    images = torch.rand(2, 3, 4, 5)
    assert torch.allclose(denormalise(normalise(images)), images, atol=1e-6)
    assert torch.allclose(normalise(torch.tensor(MEAN).view(1, 3, 1, 1)), torch.zeros(1, 3, 1, 1))


def test_jitter_depends_on_the_samples_seed_alone() -> None:
    images, matrices = _images(4), _matrices(4)
    inputs, seeds = _warp(images, matrices), [(1, 0, number) for number in range(4)]
    some = {"brightness": 0.2, "contrast": 0.2, "color": 0.1}
    jittered = jitter(inputs, seeds, **some)
    assert torch.equal(jittered, jitter(inputs, seeds, **some))
    torch.testing.assert_close(jittered[2:3], jitter(inputs[2:3], seeds[2:3], **some), rtol=0, atol=1e-5)
    assert not torch.allclose(jittered, jitter(inputs, [(1, 1, number) for number in range(4)], **some), atol=0.01)
    pixels = denormalise(jittered)
    assert pixels.min() > -1e-5
    assert pixels.max() < 1 + 1e-5


def test_jitter_of_zero_is_the_identity() -> None:
    inputs = _warp(_images(2), _matrices(2))
    same = jitter(inputs, [(0,), (1,)], brightness=0.0, contrast=0.0, color=0.0)
    assert torch.allclose(same, inputs, atol=1e-5)


@pytest.mark.parametrize(
    ("strength", "limit"),
    [
        ({"brightness": 0.2, "contrast": 0.0, "color": 0.0}, 0.2),
        ({"brightness": 0.0, "contrast": 0.0, "color": 0.1}, 0.05),
    ],
)
def test_jitter_keeps_its_limits(strength: dict, limit: float) -> None:
    grey = normalise(torch.full((64, 3, 2, 2), 0.5))
    change = (denormalise(jitter(grey, [(number,) for number in range(64)], **strength)) - 0.5).abs().max()
    assert 0.9 * limit < change <= limit + 1e-5


def hrnet_targets(xy: np.ndarray, labelled: np.ndarray, size_wh: tuple[int, int], sigma: float) -> np.ndarray:
    """Heatmaps of one person as HRNet makes them (JointsDataset.generate_target): truncated Gaussians, one by one."""
    width, height = size_wh
    heatmaps, reach = np.zeros((len(xy), height, width), np.float32), int(3 * sigma)
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    patch = np.exp(-(columns**2 + rows**2) / (2 * sigma**2))
    for joint in np.flatnonzero(labelled):
        column, row = (xy[joint] / 4 + 0.5).astype(int)
        for i, j in np.ndindex(patch.shape):
            y, x = row + i - reach, column + j - reach
            if 0 <= x < width and 0 <= y < height:
                heatmaps[joint, y, x] = patch[i, j]
    return heatmaps


def test_multi_person_targets_are_the_maximum_of_all_gaussians() -> None:
    rng = np.random.default_rng(4)
    xy = rng.uniform(0, [INPUT[0] - 1, INPUT[1] - 1], (5, 3, 17, 2)).astype(np.float32)
    xy[:, 1:, 3] = xy[:, :1, 3] + [4, 0]  # neighbours whose Gaussians meet
    labelled = rng.random((5, 3, 17)) < 0.7
    head = HeatmapHead(1, 17)
    targets = head.targets(torch.from_numpy(xy), torch.from_numpy(labelled), (32, 24), INPUT[::-1])
    each = [[hrnet_targets(xy[b, p], labelled[b, p], (24, 32), 2.0) for p in range(3)] for b in range(5)]
    np.testing.assert_allclose(targets.numpy(), np.max(each, axis=1), atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_all_batch_transforms_agree_on_gpu_and_cpu() -> None:
    images, matrices = torch.from_numpy(_images()), torch.from_numpy(_matrices().astype(np.float32))
    seeds, some = [(1, 0, number) for number in range(12)], {"brightness": 0.2, "contrast": 0.2, "color": 0.1}
    inputs = warp(images, matrices, INPUT[::-1])
    assert torch.allclose(jitter(inputs.cuda(), seeds, **some).cpu(), jitter(inputs, seeds, **some), atol=1e-4)
    ignore = (images[:, ::4, ::4, 0] > 128).to(torch.uint8)
    on_gpu = warp_ignore(ignore.cuda(), matrices.cuda(), (32, 24)).cpu()
    assert (on_gpu != warp_ignore(ignore, matrices, (32, 24))).float().mean() < 0.001  # ties may be rounded either way
    xy = torch.rand(4, 3, 17, 2, generator=torch.Generator().manual_seed(0)) * 90
    head, labelled = HeatmapHead(1, 17), xy[..., 0] > 20
    targets = head.targets(xy.cuda(), labelled.cuda(), (32, 24), INPUT[::-1]).cpu()
    assert torch.allclose(targets, head.targets(xy, labelled, (32, 24), INPUT[::-1]), atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_warp_agrees_on_gpu_and_cpu() -> None:
    images, matrices = torch.from_numpy(_images()), torch.from_numpy(_matrices().astype(np.float32))
    on_gpu = warp(images.cuda(), matrices.cuda(), INPUT[::-1]).cpu()
    assert torch.allclose(on_gpu, warp(images, matrices, INPUT[::-1]), atol=1e-3)
