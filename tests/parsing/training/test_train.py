"""Training of a parser: augmentation of labels, losses and metrics by hand, and the stage."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from torch.utils.data import default_collate

from dag.errors import UserError
from dag.image import file_hash
from dag.parsing.ce2p import Ce2p, ParsingOutput
from dag.parsing.label_maps import LabelMap, LabelMaps, encode_labels, write_label_maps
from dag.parsing.load import load_parser
from dag.parsing.training.crops import PartCrops, person_boxes
from dag.parsing.training.loss import dice_loss, edge_map, parsing_loss
from dag.parsing.training.metrics import confusion_matrix, parsing_metrics
from dag.parsing.training.module import ParserTraining, predict_labels
from dag.parsing.training.train import train_parser
from dag.skeleton import COCO17
from tests.imports import ROOT
from tests.standing import image, outline, standing

LABELS = ("background", "left_arm", "right_arm", "torso")


def draw(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A grey image with a person of three colours, which are its labels."""
    rng = np.random.default_rng(number)
    labels = np.zeros((90, 80), np.uint8)
    left, top = rng.integers(15, 30, 2)
    labels[top : top + 50, left + 8 : left + 26] = 3
    labels[top : top + 40, left : left + 8] = 2
    labels[top : top + 40, left + 26 : left + 34] = 1
    colours = np.array([[90, 90, 90], [250, 30, 30], [30, 30, 250], [30, 220, 30]], np.uint8)
    noise = rng.integers(0, 20, (90, 80, 3), dtype=np.uint8)
    return colours[labels] // 2 + 60 + noise, labels


def table(folder: Path, splits: tuple[str, ...] = ("train", "train", "train", "val"), offset: int = 0) -> Path:
    """Label maps of a few images; `offset` is added to the labels."""
    rows = []
    (folder / "photos").mkdir(parents=True)
    for number, split in enumerate(splits):
        image, labels = draw(number)
        path = folder / f"photos/{number}.png"
        cv2.imwrite(str(path), image[..., ::-1])
        rows.append(LabelMap(split, f"photos/{number}.png", file_hash(path), encode_labels(labels + np.uint8(offset))))
    write_label_maps(folder / "parts/toy.arrow", rows, dataset="toy", labels=LABELS)
    return folder / "parts/toy.arrow"


def crops(folder: Path, split: str = "train", augment: bool = True, seed: int = 1) -> PartCrops:
    return PartCrops([(LabelMaps(folder / "parts/toy.arrow"), folder)], split, LABELS, 64, augment=augment, seed=seed)


def test_labels_are_augmented_with_the_image(tmp_path: Path) -> None:
    table(tmp_path)
    samples = crops(tmp_path)
    flips = 0
    for epoch in range(6):
        samples.epoch = epoch
        for index in range(len(samples)):
            sample = samples[index]
            red, green, blue = (sample["image"][..., channel].astype(int) for channel in range(3))
            inside = cv2.erode((sample["labels"] == 3).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            assert (green[inside] > red[inside] + 40).mean() > 0.97
            arms = [np.flatnonzero((sample["labels"] == side).any(0)).mean() for side in (1, 2)]
            red_x, blue_x = (np.flatnonzero((a > b + 60).any(0)).mean() for a, b in ((red, blue), (blue, red)))
            # The left arm is red; in a flipped image it is on the other side, and is labelled as the right arm.
            flipped = red_x < blue_x
            flips += flipped
            assert abs(arms[1 if flipped else 0] - red_x) < 4
            assert abs(arms[0 if flipped else 1] - blue_x) < 4
    assert 0 < flips < 6 * len(samples)


def test_samples_depend_only_on_seed_epoch_and_index(tmp_path: Path) -> None:
    table(tmp_path)
    first, again, other = crops(tmp_path), crops(tmp_path), crops(tmp_path, seed=2)
    one = first[1]["image"]
    assert np.array_equal(again[1]["image"], one)
    assert not np.array_equal(other[1]["image"], one)
    again.epoch = 1
    assert not np.array_equal(again[1]["image"], one)


def test_boxes_are_those_of_the_connected_components() -> None:
    labels = np.zeros((100, 100), np.uint8)
    labels[10:40, 20:30] = 3
    labels[60:90, 50:80] = 1
    labels[0, 0] = 2  # too small
    assert [box.tolist() for box in person_boxes(labels)] == [[20, 10, 10, 30], [50, 60, 30, 30]]


def test_edges_lie_between_labels() -> None:
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    labels[:, :, 4:] = 2
    edges = edge_map(labels)[0]
    assert edges[4].tolist() == [0, 0, 1, 1, 1, 0, 0, 0]
    assert edge_map(torch.ones(1, 5, 5, dtype=torch.long)).sum() == 0


def test_dice_loss_by_hand() -> None:
    labels = torch.tensor([[[0, 1], [1, 1]]])
    certain = 50.0 * torch.nn.functional.one_hot(labels, 2).permute(0, 3, 1, 2)
    assert dice_loss(certain, labels).item() == pytest.approx(0, abs=1e-6)
    # Probability 0.5 for each: Dice of label 0 is (2 * .5 + 1) / (2 + 1 + 1), of label 1 (2 * 1.5 + 1) / (2 + 3 + 1).
    assert dice_loss(torch.zeros(1, 2, 2, 2), labels).item() == pytest.approx(1 - (2 / 4 + 4 / 6) / 2)


def test_the_loss_is_minimal_at_the_ground_truth() -> None:
    labels = torch.zeros(1, 16, 16, dtype=torch.long)
    labels[:, 4:12, 4:12] = 3
    small = labels[:, ::4, ::4]
    edges = edge_map(torch.nn.functional.interpolate(labels[:, None].float(), (4, 4))[:, 0].long())

    def logits(values: torch.Tensor, count: int) -> torch.Tensor:
        return 30.0 * torch.nn.functional.one_hot(values, count).permute(0, 3, 1, 2)

    right = parsing_loss(ParsingOutput(logits(small, 4), logits(small, 4), logits(edges, 2)), labels)
    wrong = parsing_loss(ParsingOutput(logits(small, 4), logits(3 - small, 4), logits(edges, 2)), labels)
    assert right.item() < 1e-3
    assert wrong.item() > 20


def test_metrics_by_hand() -> None:
    gt, predicted = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 2, 2])
    metrics = parsing_metrics(confusion_matrix(gt, predicted, 4), LABELS)
    assert metrics["IoU"] == {"background": 2 / 3, "left_arm": 1 / 3, "right_arm": 1 / 2}
    assert metrics["mIoU"] == pytest.approx((2 / 3 + 1 / 3 + 1 / 2) / 3)
    assert metrics["person_IoU"] == pytest.approx(3 / 4)
    assert metrics["accuracy"] == pytest.approx(4 / 6)


def test_a_few_crops_are_overfitted(tmp_path: Path) -> None:
    table(tmp_path)
    torch.manual_seed(0)
    batch = default_collate([crops(tmp_path, augment=False)[index] for index in range(3)])
    network = Ce2p(len(LABELS))
    optimizer = torch.optim.AdamW(network.parameters(), 0.01)
    images = batch["image"].permute(0, 3, 1, 2).float() / 128 - 1
    for _ in range(60):
        optimizer.zero_grad()
        parsing_loss(network(images), batch["labels"].long()).backward()
        optimizer.step()
    predicted = network(images).fused.argmax(1)
    gt = torch.nn.functional.interpolate(batch["labels"][:, None].float(), (16, 16))[:, 0].long()
    metrics = parsing_metrics(confusion_matrix(gt.numpy(), predicted.numpy(), 4), LABELS)
    assert metrics["mIoU"] > 0.8
    network.eval()
    assert predict_labels(network, batch).shape == (3, 64, 64)


@pytest.mark.parametrize(
    ("splits", "offset", "text"),
    [
        (("val",), 0, "no persons in the label maps: expected some in split train, got 0"),
        (("train",), 1, "photos/0.png: label outside the label set: expected numbers below 4, got 4"),
    ],
)
def test_tables_that_cannot_be_trained_on(tmp_path: Path, splits: tuple[str, ...], offset: int, text: str) -> None:
    table(tmp_path, splits, offset)
    with pytest.raises(UserError, match=text):
        crops(tmp_path)


def test_a_run_killed_after_its_last_epoch_still_has_its_curves(tmp_path: Path) -> None:
    table(tmp_path)
    state, runs = tmp_path / "state", []
    for _ in range(2):
        torch.manual_seed(0)
        module = ParserTraining(Ce2p(len(LABELS)), learning_rate=0.01, seed=1)
        options = {"epochs": 2, "batch_size": 2, "seed": 1, "workers": 0, "state": state, "device": "cpu"}
        train_parser(module, crops(tmp_path), crops(tmp_path, "val", augment=False), LABELS, **options)
        weights = torch.cat([weight.detach().flatten() for weight in module.parameters()])
        runs.append((weights, {path.name: path.read_text() for path in (state / "live/plots").rglob("*.tsv")}))
        shutil.rmtree(state / "live")
    assert torch.equal(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert {"loss.tsv", "mIoU.tsv", "person_IoU.tsv"} <= set(runs[0][1])
    assert len(runs[0][1]["loss.tsv"].splitlines()) == 1 + 2


def stage(folder: Path, **changes: object) -> subprocess.CompletedProcess[str]:
    """Run the stage on the toy table, with a few crops and one epoch."""
    params = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    params["parts"] = {"toy": {"root": str(folder), "labels": "photos"}}
    small = {"parts": ["toy"], "backbone": "narrow", "input": 64, "epochs": 1, "batch_size": 2}
    params["parser"] = {"small": {**small, "learning_rate": 0.01, "weights": None, **changes}}
    with (folder / "params.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(params, file)
    command = [sys.executable, str(ROOT / "pipelines/parser.py"), "--name", "small", "--parts", str(folder / "parts")]
    return subprocess.run(
        [*command, "--out", "model", "--results", "results"], cwd=folder, capture_output=True, text=True,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip


def test_the_stage_is_deterministic_and_its_parser_loads(tmp_path: Path) -> None:
    table(tmp_path)
    written = []
    for _ in range(2):
        done = stage(tmp_path)
        assert done.returncode == 0, done.stderr
        written.append([(tmp_path / "model" / name).read_bytes() for name in ("model.safetensors", "parser.yaml")])
    assert written[0] == written[1]
    metrics = json.loads((tmp_path / "results/metrics.json").read_text())
    assert 0 < metrics["mIoU"] < 1
    assert metrics["crops"] == {"train": 3, "val": 1}
    assert cv2.imread(str(tmp_path / "results/sheet.jpg")) is not None
    assert (tmp_path / "results/plots/metrics/train/loss.tsv").exists()
    assert not list((tmp_path / ".dag/parser/small").iterdir())
    [part_map] = load_parser(tmp_path / "model", COCO17).parse(image(outline(60, 25)), [standing(1, 60)], [0])
    assert part_map.parts.max() <= 3


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"parts": ["moon"]}, "unknown label maps"),
        ({"weights": "none.pth"}, "none.pth: no such file"),
    ],
)
def test_the_stage_reports_errors_in_one_line(tmp_path: Path, changes: dict[str, object], text: str) -> None:
    table(tmp_path)
    done = stage(tmp_path, **changes)
    assert done.returncode == 1
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "model").exists()
