"""From an image to a pose and back: lit pixels, the flip test, HRNet's own metrics."""

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from dag.boxes import boxes_of
from dag.errors import UserError
from dag.geometry import apply_affine, input_from_image, invert
from dag.inference.predictor import cut_crop, predict_crops, predict_poses, to_image, torch_device
from dag.models.heads.codecs import decode_msra
from dag.models.heads.heatmap import HeatmapHead
from dag.models.pose import build_model
from dag.skeleton import COCO17
from tests.toy import people

INPUT_WH = (96, 128)
OPTIONS = {"input_wh": INPUT_WH, "flip": False, "batch_size": 4, "workers": 0}


class LampFinder(nn.Module):
    """Finds the one bright spot: heatmaps of brightness, and its centre of mass as the refined place of all joints."""

    def __init__(self):
        super().__init__()
        self.head = HeatmapHead(1, 17)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images):
        light = (images.mean(1) - images.mean(1).amin((1, 2), keepdim=True)) * self.scale
        x, y = torch.arange(images.shape[-1]).float(), torch.arange(images.shape[-2]).float()
        mass = light.sum((1, 2))
        center = torch.stack([(light.sum(1) * x).sum(1) / mass, (light.sum(2) * y).sum(1) / mass], -1)
        heatmaps = (light / light.amax((1, 2), keepdim=True))[:, None, ::4, ::4].expand(-1, 17, -1, -1)
        return SimpleNamespace(target=heatmaps, refined_xy=center[:, None].expand(-1, 17, 2))


@pytest.fixture
def lamps(tmp_path):
    """Three images, a person with a lamp on each of the first two, two people round one lamp on the third."""
    rng = np.random.default_rng(3)
    rows = []
    for number, row in enumerate(people(COCO17, 4)):
        image = min(number, 2)
        x, y = (120.0, 90.0) if image == 2 else rng.uniform(60, 300, 2)
        grid_x, grid_y = np.meshgrid(np.arange(400), np.arange(400))
        spot = 250 * np.exp(-((grid_x - x) ** 2 + (grid_y - y) ** 2) / (2 * 6.0**2))
        cv2.imwrite(str(tmp_path / f"{image}.png"), np.repeat(spot[..., None], 3, 2).astype(np.uint8))
        left, top, right, bottom = rng.uniform(30, 60, 4)
        box = np.array([x - left, y - top, left + right, top + bottom])
        rows.append(
            replace(
                row,
                image_id=image,
                image_path=f"{image}.png",
                bbox_xywh=box,
                keypoints_xy=np.full((17, 2), [x, y]),
            )
        )
    return tmp_path, [rows[2], rows[0], rows[3], rows[1]]


def test_lit_pixel_is_found_where_it_is(lamps):
    root, rows = lamps
    predictions = predict_poses(LampFinder(), boxes_of(rows), root, COCO17, **OPTIONS)
    assert [p.output for p in predictions] == ["heatmap"] * 4 + ["graph"] * 4
    assert [p.person_id for p in predictions] == [row.person_id for row in rows] * 2
    assert [p.image_id for p in predictions] == [row.image_id for row in rows] * 2
    for row, heatmap, graph in zip(rows, predictions[:4], predictions[4:]):
        heatmap_pixel = 4 * max(row.bbox_xywh[2:] / INPUT_WH) * 1.25
        assert np.abs(heatmap.keypoints_xy - row.keypoints_xy).max() < heatmap_pixel
        assert np.abs(graph.keypoints_xy - row.keypoints_xy).max() < 0.15
        np.testing.assert_array_equal(graph.joint_scores, heatmap.joint_scores)
        assert graph.score == pytest.approx(graph.joint_scores.mean())


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (3, 2), (64, 1)])
def test_batches_and_workers_change_nothing(lamps, batch_size, workers):
    root, rows = lamps
    expected = predict_poses(LampFinder(), boxes_of(rows), root, COCO17, **OPTIONS)
    options = {**OPTIONS, "batch_size": batch_size, "workers": workers}
    for ours, other in zip(expected, predict_poses(LampFinder(), boxes_of(rows), root, COCO17, **options), strict=True):
        np.testing.assert_allclose(ours.keypoints_xy, other.keypoints_xy, atol=1e-3)
        assert (ours.output, ours.person_id) == (other.output, other.person_id)


def test_nobody_gives_nothing(tmp_path):
    assert predict_poses(LampFinder(), [], tmp_path, COCO17, **OPTIONS) == []


@pytest.mark.parametrize("workers", [0, 1])
def test_a_missing_photograph_is_one_line(lamps, workers):
    root, rows = lamps
    (root / "2.png").unlink()
    with pytest.raises(UserError, match=r"^[^\n]*2.png: missing or unreadable image; check the data root") as caught:
        predict_poses(LampFinder(), boxes_of(rows), root, COCO17, **{**OPTIONS, "workers": workers})
    assert "Traceback" not in str(caught.value)


def test_the_crop_is_black_outside_the_photograph():
    image = np.full((50, 50, 3), 200, dtype=np.uint8)
    crop = cut_crop(image, np.array([-50.0, 0.0, 100.0, 100.0]), INPUT_WH)
    assert crop.shape == (128, 96, 3)
    assert crop[64, 10].tolist() == [0, 0, 0]
    assert crop[40, 60].tolist() == [200, 200, 200]


class Recorded(nn.Module):
    """Says one thing of a crop that is brighter on the left, and another of one that is brighter on the right."""

    def __init__(self, plain, mirrored, plain_xy, mirrored_xy):
        super().__init__()
        self.head = HeatmapHead(1, 17)
        self.answers = [(plain, plain_xy), (mirrored, mirrored_xy)]

    def forward(self, images):
        heatmaps, xy = self.answers[int(images[0, 0, 0, 0] < images[0, 0, 0, -1])]
        return SimpleNamespace(target=heatmaps, refined_xy=xy)


def test_flip_test_as_written_out():
    rng = np.random.default_rng(0)
    plain, mirrored = rng.random((2, 1, 17, 8, 6)).astype(np.float32)
    plain_xy, mirrored_xy = rng.uniform(0, 24, (2, 1, 17, 2)).astype(np.float32)
    images = torch.zeros(1, 3, 32, 24)
    images[..., 0] = 1
    model = Recorded(*(torch.from_numpy(a) for a in (plain, mirrored, plain_xy, mirrored_xy)))
    expected, expected_xy = np.empty_like(plain), np.empty_like(plain_xy)
    for joint in range(17):
        other = COCO17.flip_index[joint]
        for column in range(6):
            # Column c of the crop is column w - c of the mirrored one, a pixel beyond the plain mirror; 0 has none.
            there = mirrored[0, other, :, min(6 - column, 5)]
            expected[0, joint, :, column] = (plain[0, joint, :, column] + there) / 2
        expected_xy[0, joint] = (plain_xy[0, joint] + [23 - mirrored_xy[0, other, 0], mirrored_xy[0, other, 1]]) / 2
    xy, score, refined_xy = predict_crops(model, images, torch.from_numpy(COCO17.flip_index), flip=True)
    decoded_xy, decoded_score = decode_msra(torch.from_numpy(expected), 2.0)
    torch.testing.assert_close(xy, decoded_xy * 4)
    torch.testing.assert_close(score, decoded_score)
    torch.testing.assert_close(refined_xy, torch.from_numpy(expected_xy))


def test_score_is_the_mean_of_joints_above_a_fifth():
    row = people(COCO17, 1)[0]
    scores = np.array([0.9, 0.5, 0.2] + [0.1] * 14)
    assert to_image("heatmap", boxes_of([row])[0], np.zeros((17, 2)), scores, INPUT_WH).score == pytest.approx(0.7)
    assert to_image("heatmap", boxes_of([row])[0], np.zeros((17, 2)), scores * 0.1, INPUT_WH).score == 0.0


@pytest.mark.parametrize("graph", [False, True])
def test_a_real_model_keeps_its_mode_and_answers_for_everyone(lamps, graph):
    torch.manual_seed(0)
    model = build_model("hrnet_tiny", adam=True, graph=graph).train()
    root, rows = lamps
    options = {**OPTIONS, "flip": True}
    predictions = predict_poses(model, boxes_of(rows), root, COCO17, **options)
    assert model.training
    assert {p.output for p in predictions} == ({"heatmap", "graph"} if graph else {"heatmap"})
    assert all(np.isfinite(p.keypoints_xy).all() for p in predictions)
    for one, again in zip(predictions, predict_poses(model, boxes_of(rows), root, COCO17, **options)):
        np.testing.assert_array_equal(one.keypoints_xy, again.keypoints_xy)


def test_cuda_that_is_not_there_is_one_line():
    assert torch_device("cpu").type == "cpu"
    if not torch.cuda.is_available():
        assert torch_device("auto").type == "cpu"
        with pytest.raises(UserError, match=r"^no CUDA device: expected one, got none; set engine.device: auto$"):
            torch_device("cuda")


def test_hrnets_own_decoding(real_data):
    golden = np.load(real_data / "golden/heatmap_decoding.npz")
    heatmap_xy, score = decode_msra(torch.from_numpy(golden["heatmaps"]), 2.0)
    np.testing.assert_array_equal(score.numpy()[..., None].ravel(), golden["hrnet_score"].ravel())
    for xy, center, scale, expected in zip(heatmap_xy, golden["center"], golden["scale"], golden["hrnet_image_xy"]):
        input_map = input_from_image(center.astype(float), scale.astype(float) * 200, (192, 256))
        found = apply_affine(invert(input_map), 4.0 * xy.double().numpy())
        np.testing.assert_allclose(found, expected, atol=2e-3)
