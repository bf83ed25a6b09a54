"""The folder of a trained parser: `load_parser` restores the network, also in another process."""

import hashlib
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from dag.annotation import PersonAnnotation
from dag.errors import UserError
from dag.parsing.ce2p import Ce2p
from dag.parsing.load import load_parser
from dag.parsing.network_parser import NetworkParser, input_size, normalise, padded_window
from dag.parsing.save import save_parser
from dag.skeleton import COCO17
from tests.parsing.part_maps import in_image, iou
from tests.standing import HEIGHT, WIDTH, image, outline, standing

LABELS = ("background", "upper", "lower")
SIDE = 128
LEFTS = (10, 60, 110)


def gt(left: int) -> np.ndarray:
    """Ground truth: 1 above row 125 of the person, 2 below."""
    labels = outline(left, 25).astype(np.uint8)
    labels[125:] *= 2
    return labels


def train(parser: NetworkParser) -> Ce2p:
    """A network after a few steps on persons at three locations, in the windows that the parser uses."""
    torch.manual_seed(0)
    network = Ce2p(len(LABELS))
    crops, targets = [], []
    for left in LEFTS:
        window = padded_window(standing(1, left).bbox_xywh, WIDTH, HEIGHT)
        size, scale = input_size(parser.input_spec, *window[2:])
        affine = np.array([[scale, 0, -window[0] * scale], [0, scale, -window[1] * scale]])
        crops.append(normalise(cv2.warpAffine(image(outline(left, 25)), affine, size), parser.input_spec))
        target = cv2.warpAffine(gt(left), affine, size, flags=cv2.INTER_NEAREST)
        corners = np.linspace(0, SIDE - 1, SIDE // 4).round().astype(int)
        targets.append(target[np.ix_(corners, corners)])
    images, labels = torch.from_numpy(np.concatenate(crops)), torch.from_numpy(np.stack(targets)).long()
    optimizer = torch.optim.AdamW(network.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images).fused, labels).backward()
        optimizer.step()
    return network


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a trained parser; the input specification for its training comes from an untrained one."""
    folder = tmp_path_factory.mktemp("untrained")
    save_parser(folder, Ce2p(len(LABELS)), LABELS, backbone="narrow", side=SIDE)
    untrained = load_parser(folder, COCO17)
    assert isinstance(untrained, NetworkParser)
    trained = tmp_path_factory.mktemp("trained")
    save_parser(trained, train(untrained), LABELS, backbone="narrow", side=SIDE)
    return trained


def scene() -> tuple[np.ndarray, list[PersonAnnotation]]:
    return image(*(outline(left, 25) for left in (10, 110))), [standing(1, 10), standing(2, 110)]


def test_persons_and_parts_are_segmented(folder: Path) -> None:
    photo, persons = scene()
    parser = load_parser(folder, COCO17)
    assert parser.labels == LABELS[1:]
    for left, part_map in zip((10, 110), parser.parse(photo, persons, [0, 1])):
        predicted, expected = in_image(part_map), gt(left)
        assert iou(predicted > 0, expected > 0) > 0.8
        assert (predicted == expected)[(predicted > 0) & (expected > 0)].mean() > 0.95


def test_a_pickled_copy_predicts_the_same(folder: Path) -> None:
    photo, persons = scene()
    parser = load_parser(folder, COCO17)
    pickled = pickle.dumps(parser)
    assert len(pickled) < 20_000, "weights are pickled as a file name"
    first, second = (each.parse(photo, persons, [1])[0] for each in (parser, pickle.loads(pickled)))
    assert np.array_equal(first.parts, second.parts)


def test_the_description_names_its_weights(folder: Path) -> None:
    content = YAML(typ="safe", pure=True).load((folder / "parser.yaml").read_text())
    assert content["sha256"] == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert (content["kind"], content["file"], content["backbone"]) == ("ce2p", "model.safetensors", "narrow")
    assert content["input"]["long_side"] == SIDE
    assert content["labels"] == ["upper", "lower"]
    assert sorted(path.name for path in folder.iterdir()) == ["model.safetensors", "parser.yaml"]


def test_the_same_network_gives_the_same_files(tmp_path: Path) -> None:
    network = Ce2p(3)
    for name in ("a", "b"):
        save_parser(tmp_path / name, network, LABELS, backbone="narrow", side=64)
    for file in ("model.safetensors", "parser.yaml"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_changed_or_missing_weights(tmp_path: Path) -> None:
    save_parser(tmp_path, Ce2p(3), LABELS, backbone="narrow", side=64)
    with (tmp_path / "model.safetensors").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(UserError, match=r"model.safetensors: network with another hash: expected sha256 .*; download"):
        load_parser(tmp_path, COCO17)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"parser.yaml: no such network: expected a file of weights, got .*safetensors"):
        load_parser(tmp_path, COCO17)
    (tmp_path / "parser.yaml").unlink()
    with pytest.raises(UserError, match=r"parser.yaml: no such parser"):
        load_parser(tmp_path, COCO17)


def test_backbone_and_labels_of_the_description_must_match(tmp_path: Path) -> None:
    save_parser(tmp_path, Ce2p(4), ("background", "a", "b", "c"), backbone="narrow", side=64)
    assert load_parser(tmp_path, COCO17).labels == ("a", "b", "c")
    text = (tmp_path / "parser.yaml").read_text()
    (tmp_path / "parser.yaml").write_text(text.replace("backbone: narrow", "backbone: wide"))
    with pytest.raises(UserError, match=r"unknown backbone: expected one of narrow, resnet50, resnet101, got 'wide'"):
        load_parser(tmp_path, COCO17)
    (tmp_path / "parser.yaml").write_text(text.replace("[a, b, c]", "[a, b]"))
    with pytest.raises(UserError, match=r"weights of another network"):
        load_parser(tmp_path, COCO17)
