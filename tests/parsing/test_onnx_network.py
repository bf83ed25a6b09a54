"""ONNX networks: agreement with their descriptions, and BodyPix on COCO images."""

from pathlib import Path

import numpy as np
import pytest

from dag.convert.coco import read_coco
from dag.errors import UserError
from dag.image import read_image
from dag.masks import decode_mask
from dag.parsing.load import load_parser
from dag.parsing.network_parser import NetworkParser
from dag.skeleton import COCO17
from tests.imports import ROOT
from tests.onnx_files import CHANNELS, write_description, write_network
from tests.parsing.part_maps import in_image, iou

BODYPIX = ROOT / "presets/parsers/bodypix.yaml"


@pytest.mark.parametrize("shape", [(1, 1, "h", "w"), (1, 3, 96, 96), (3, "h", "w")])
def test_input_that_does_not_match_the_description(tmp_path: Path, shape: tuple[int | str, ...]) -> None:
    channels = CHANNELS if shape[1] == 3 else {"person": [[10]], "parts": [[1], [-1]]}
    network = write_network(tmp_path / "n.onnx", channels, shape=shape)
    with pytest.raises(UserError, match=r"input of the network does not match|not an ONNX network"):
        load_parser(write_description(tmp_path, network), COCO17)


def test_file_that_is_not_a_network(tmp_path: Path) -> None:
    (tmp_path / "n.onnx").write_bytes(b"no network")
    with pytest.raises(UserError, match="not an ONNX network"):
        load_parser(write_description(tmp_path, tmp_path / "n.onnx"), COCO17)


def test_bodypix_segments_coco_persons(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAG_REAL_DATA", str(real_data))
    root = real_data / "data/coco"
    people, _ = read_coco(
        root / "annotations/person_keypoints_val2017.json",
        dataset="coco", split="val", skeleton=COCO17, image_folder="val2017",
    )  # fmt: skip
    parser = load_parser(str(BODYPIX), COCO17)
    overlaps = []
    for person in [person for person in people if person.num_keypoints > 14 and person.bbox_xywh[3] > 100][:8]:
        persons_of_image = [other for other in people if other.image_id == person.image_id]
        target = persons_of_image.index(person)
        [part_map] = parser.parse(read_image(root, person.image_path), persons_of_image, [target])
        annotated = decode_mask(person)
        assert annotated is not None
        overlaps.append(iou(in_image(part_map, annotated.shape) > 0, annotated))
        assert part_map.parts.max() <= 24
    assert len(overlaps) == 8
    assert np.median(overlaps) > 0.75


def test_bodypix_in_a_batch_and_one_by_one(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAG_REAL_DATA", str(real_data))
    parser = load_parser(BODYPIX, COCO17)
    assert isinstance(parser, NetworkParser)
    image = np.random.default_rng(0).integers(0, 255, (220, 200, 3), dtype=np.uint8)
    windows = [(0, 0, 90, 200), (100, 10, 90, 200)]
    for window, (_, parts) in zip(windows, parser.scores(image, windows)):
        np.testing.assert_allclose(parts, parser.scores(image, [window])[0][1], rtol=1e-3, atol=1e-3)
