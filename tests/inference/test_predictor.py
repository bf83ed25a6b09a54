"""From image to pose and back: lit pixels, the flip test, HRNet's reference values."""

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from torch import nn

import dag.inference
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


class SpotDetector(nn.Module):
    """Detects one bright spot: heatmaps of brightness, and its centre of mass as the refined location of all joints."""

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
def spots(tmp_path):
    """Three images with one bright spot: a person at the spot of each of the first two, two persons at the third."""
    rng = np.random.default_rng(3)
    persons = []
    for number, person in enumerate(people(COCO17, 4)):
        image = min(number, 2)
        x, y = (120.0, 90.0) if image == 2 else rng.uniform(60, 300, 2)
        grid_x, grid_y = np.meshgrid(np.arange(400), np.arange(400))
        spot = 250 * np.exp(-((grid_x - x) ** 2 + (grid_y - y) ** 2) / (2 * 6.0**2))
        cv2.imwrite(str(tmp_path / f"{image}.png"), np.repeat(spot[..., None], 3, 2).astype(np.uint8))
        left, top, right, bottom = rng.uniform(30, 60, 4)
        changes = {
            "image_id": image,
            "image_path": f"{image}.png",
            "bbox_xywh": np.array([x - left, y - top, left + right, top + bottom]),
            "keypoints_xy": np.full((17, 2), [x, y]),
        }
        persons.append(replace(person, **changes))
    return tmp_path, [persons[2], persons[0], persons[3], persons[1]]


def test_a_lit_pixel_is_predicted_at_its_location(spots):
    root, persons = spots
    predictions = predict_poses(SpotDetector(), boxes_of(persons), root, COCO17, **OPTIONS)
    assert [p.output for p in predictions] == ["heatmap"] * 4 + ["graph"] * 4
    assert [p.person_id for p in predictions] == [person.person_id for person in persons] * 2
    assert [p.image_id for p in predictions] == [person.image_id for person in persons] * 2
    for person, heatmap, graph in zip(persons, predictions[:4], predictions[4:]):
        heatmap_pixel = 4 * max(person.bbox_xywh[2:] / INPUT_WH) * 1.25
        assert np.abs(heatmap.keypoints_xy - person.keypoints_xy).max() < heatmap_pixel
        assert np.abs(graph.keypoints_xy - person.keypoints_xy).max() < 0.15
        np.testing.assert_array_equal(graph.joint_scores, heatmap.joint_scores)
        assert graph.score == pytest.approx(graph.joint_scores.mean())


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (3, 2), (64, 1)])
def test_batch_size_and_workers_change_nothing(spots, batch_size, workers):
    root, persons = spots
    boxes = boxes_of(persons)
    expected = predict_poses(SpotDetector(), boxes, root, COCO17, **OPTIONS)
    options = {**OPTIONS, "batch_size": batch_size, "workers": workers}
    for one, other in zip(expected, predict_poses(SpotDetector(), boxes, root, COCO17, **options), strict=True):
        np.testing.assert_allclose(one.keypoints_xy, other.keypoints_xy, atol=1e-3)
        assert (one.output, one.person_id) == (other.output, other.person_id)


def test_no_boxes_no_predictions(tmp_path):
    assert predict_poses(SpotDetector(), [], tmp_path, COCO17, **OPTIONS) == []


@pytest.mark.parametrize("workers", [0, 1])
def test_a_missing_image_is_reported_in_one_line(spots, workers):
    root, persons = spots
    (root / "2.png").unlink()
    with pytest.raises(UserError, match=r"^[^\n]*2.png: missing or unreadable image; check the data root") as caught:
        predict_poses(SpotDetector(), boxes_of(persons), root, COCO17, **{**OPTIONS, "workers": workers})
    assert "Traceback" not in str(caught.value)


def test_the_crop_is_black_outside_the_image():
    image = np.full((50, 50, 3), 200, dtype=np.uint8)
    crop = cut_crop(image, np.array([-50.0, 0.0, 100.0, 100.0]), INPUT_WH)
    assert crop.shape == (128, 96, 3)
    assert crop[64, 10].tolist() == [0, 0, 0]
    assert crop[40, 60].tolist() == [200, 200, 200]


class Recorded(nn.Module):
    """Returns one recorded output for crops that are brighter on the left, another for those brighter on the right."""

    def __init__(self, plain, mirrored, plain_xy, mirrored_xy):
        super().__init__()
        self.head = HeatmapHead(1, 17)
        self.outputs = [(plain, plain_xy), (mirrored, mirrored_xy)]

    def forward(self, images):
        heatmaps, xy = self.outputs[int(images[0, 0, 0, 0] < images[0, 0, 0, -1])]
        return SimpleNamespace(target=heatmaps, refined_xy=xy)


def test_flip_test_equals_its_definition():
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
            # Column c of the crop is column w - c of the mirrored one, one pixel from the plain mirror; 0 has none.
            mirrored_back = mirrored[0, other, :, min(6 - column, 5)]
            expected[0, joint, :, column] = (plain[0, joint, :, column] + mirrored_back) / 2
        expected_xy[0, joint] = (plain_xy[0, joint] + [23 - mirrored_xy[0, other, 0], mirrored_xy[0, other, 1]]) / 2
    xy, score, refined_xy = predict_crops(model, images, torch.from_numpy(COCO17.flip_index), flip=True)
    decoded_xy, decoded_score = decode_msra(torch.from_numpy(expected), 2.0)
    torch.testing.assert_close(xy, decoded_xy * 4)
    torch.testing.assert_close(score, decoded_score)
    torch.testing.assert_close(refined_xy, torch.from_numpy(expected_xy))


def test_the_score_is_the_mean_of_joint_scores_above_a_fifth():
    box = boxes_of(people(COCO17, 1))[0]
    scores = np.array([0.9, 0.5, 0.2] + [0.1] * 14)
    assert to_image("heatmap", box, np.zeros((17, 2)), scores, INPUT_WH).score == pytest.approx(0.7)
    assert to_image("heatmap", box, np.zeros((17, 2)), scores * 0.1, INPUT_WH).score == 0.0


@pytest.mark.parametrize("graph", [False, True])
def test_a_real_model_stays_in_its_mode_and_is_deterministic(spots, graph):
    torch.manual_seed(0)
    model = build_model("hrnet_tiny", adam=True, graph=graph).train()
    root, persons = spots
    options = {**OPTIONS, "flip": True}
    predictions = predict_poses(model, boxes_of(persons), root, COCO17, **options)
    assert model.training
    assert {p.output for p in predictions} == ({"heatmap", "graph"} if graph else {"heatmap"})
    assert all(np.isfinite(p.keypoints_xy).all() for p in predictions)
    for one, again in zip(predictions, predict_poses(model, boxes_of(persons), root, COCO17, **options)):
        np.testing.assert_array_equal(one.keypoints_xy, again.keypoints_xy)


def test_missing_cuda_is_reported_in_one_line():
    assert torch_device("cpu").type == "cpu"
    if not torch.cuda.is_available():
        assert torch_device("auto").type == "cpu"
        with pytest.raises(UserError, match=r"^no CUDA device: expected one, got none; set engine.device: auto$"):
            torch_device("cuda")


def test_decoding_equals_hrnets(real_data):
    golden = np.load(real_data / "golden/heatmap_decoding.npz")
    heatmap_xy, score = decode_msra(torch.from_numpy(golden["heatmaps"]), 2.0)
    np.testing.assert_array_equal(score.numpy()[..., None].ravel(), golden["hrnet_score"].ravel())
    for xy, center, scale, expected in zip(heatmap_xy, golden["center"], golden["scale"], golden["hrnet_image_xy"]):
        affine = input_from_image(center.astype(float), scale.astype(float) * 200, (192, 256))
        image_xy = apply_affine(invert(affine), 4.0 * xy.double().numpy())
        np.testing.assert_allclose(image_xy, expected, atol=2e-3)


def test_the_package_offers_predict_poses_and_nothing_else():
    assert dag.inference.predict_poses is predict_poses
    assert dag.inference.__all__ == ["predict_poses"]
    with pytest.raises(AttributeError, match=r"module 'dag.inference' has no attribute 'predict'"):
        _ = dag.inference.predict
