"""A trained parser's folder: what was learned is what `load_parser` answers, here and in another process."""

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
from dag.masks import PartMap
from dag.parsing.ce2p import Ce2p
from dag.parsing.save import save_parser
from dag.parsing.load import load_parser
from dag.parsing.network_parser import NetworkParser, input_size, normalise, padded_window
from dag.skeleton import COCO17
from tests.standing import HEIGHT, WIDTH, image, outline, standing

LABELS = ("background", "upper", "lower")
SIDE = 128
LEFTS = (10, 60, 110)


def gt(left: int) -> np.ndarray:
    """1 above row 125 of the person, 2 below."""
    labels = outline(left, 25).astype(np.uint8)
    labels[125:] *= 2
    return labels


def train(parser: NetworkParser) -> Ce2p:
    """A few steps on people at three places, in the windows in which the parser will see them."""
    torch.manual_seed(0)
    network = Ce2p(len(LABELS))
    crops, targets = [], []
    for left in LEFTS:
        window = padded_window(standing(1, left).bbox_xywh, WIDTH, HEIGHT)
        size, scale = input_size(parser.input_rule, *window[2:])
        affine = np.array([[scale, 0, -window[0] * scale], [0, scale, -window[1] * scale]])
        crops.append(normalise(cv2.warpAffine(image(outline(left, 25)), affine, size), parser.input_rule))
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
    """An untrained parser tells its rule; then a trained one takes its place."""
    found = tmp_path_factory.mktemp("parser")
    save_parser(found, Ce2p(len(LABELS)), LABELS, backbone="narrow", side=SIDE)
    untrained = load_parser(found, COCO17)
    assert isinstance(untrained, NetworkParser)
    trained = tmp_path_factory.mktemp("trained")
    save_parser(trained, train(untrained), LABELS, backbone="narrow", side=SIDE)
    return trained


def on_photograph(parsed: PartMap) -> np.ndarray:
    full = np.zeros((HEIGHT, WIDTH), np.uint8)
    height, width = parsed.parts.shape
    full[parsed.top : parsed.top + height, parsed.left : parsed.left + width] = parsed.parts
    return full


def people() -> tuple[np.ndarray, list[PersonAnnotation]]:
    return image(*(outline(left, 25) for left in (10, 110))), [standing(1, 10), standing(2, 110)]


def test_it_finds_people_and_their_parts(folder: Path) -> None:
    image, persons = people()
    parser = load_parser(folder, COCO17)
    assert parser.labels == LABELS[1:]
    for left, parsed in zip((10, 110), parser.parse(image, persons, [0, 1])):
        found, wanted = on_photograph(parsed), gt(left)
        assert ((found > 0) & (wanted > 0)).sum() / ((found > 0) | (wanted > 0)).sum() > 0.8
        assert (found == wanted)[(found > 0) & (wanted > 0)].mean() > 0.95


def test_a_copy_in_another_process_answers_the_same(folder: Path) -> None:
    image, persons = people()
    parser = load_parser(folder, COCO17)
    text = pickle.dumps(parser)
    assert len(text) < 20_000, "the weights travel as a file name"
    first, second = (each.parse(image, persons, [1])[0] for each in (parser, pickle.loads(text)))
    assert np.array_equal(first.parts, second.parts)


def test_the_description_is_plain_and_names_its_weights(folder: Path) -> None:
    content = YAML(typ="safe", pure=True).load((folder / "parser.yaml").read_text())
    assert content["sha256"] == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert (content["kind"], content["file"], content["backbone"]) == ("ce2p", "model.safetensors", "narrow")
    assert content["input"]["long_side"] == SIDE
    assert content["labels"] == ["upper", "lower"]
    assert sorted(path.name for path in folder.iterdir()) == ["model.safetensors", "parser.yaml"]


def test_the_same_network_is_the_same_folder(tmp_path: Path) -> None:
    network = Ce2p(3)
    for name in ("a", "b"):
        save_parser(tmp_path / name, network, LABELS, backbone="narrow", side=64)
    for file in ("model.safetensors", "parser.yaml"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_weights_that_were_changed_or_lost(tmp_path: Path) -> None:
    save_parser(tmp_path, Ce2p(3), LABELS, backbone="narrow", side=64)
    with (tmp_path / "model.safetensors").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(UserError, match=r"model.safetensors: another network: expected sha256 .*; fetch it again"):
        load_parser(tmp_path, COCO17)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"parser.yaml: no such network: expected a file of weights, got .*safetensors"):
        load_parser(tmp_path, COCO17)
    (tmp_path / "parser.yaml").unlink()
    with pytest.raises(UserError, match=r"parser.yaml: no such parser"):
        load_parser(tmp_path, COCO17)
