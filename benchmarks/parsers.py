"""Quality of a parser: intersection over union with annotated persons of real images.

    DAG_REAL_DATA=FOLDER python benchmarks/parsers.py [PARSER]

PARSER is the description of a network (default presets/parsers/bodypix.yaml) or the folder of a trained parser. As for
the pool, it is applied to each person's padded box. Ground truth: the complete label maps of Clothing Co-Parsing (as
selected by datasets/clothing_co_parsing/parts.py; bags count as background), with one person per image; and the masks
of the COCO sample (53 + 48 images), where the prediction is restricted to the person by joints and neighbours. A parser
that was trained on one of them is evaluated on its val split.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import typer

from dag.annotation import PersonAnnotation
from dag.convert.coco import read_coco
from dag.image import read_image
from dag.masks import HumanParser, PartMap, decode_mask
from dag.parsing.label_maps import LabelMaps
from dag.parsing.labels import CLOTHING, translation
from dag.parsing.load import load_parser
from dag.parsing.network_parser import NetworkParser, padded_window
from dag.pool.build import by_image
from dag.skeleton import COCO17
from dag.stage import progress


def overlap(part_map: PartMap, gt: np.ndarray) -> float:
    """Intersection over union of a part map and a mask of the image's size."""
    predicted = np.zeros(gt.shape, dtype=bool)
    height, width = part_map.parts.shape
    predicted[part_map.top : part_map.top + height, part_map.left : part_map.left + width] = part_map.parts > 0
    return float((predicted & gt).sum() / (predicted | gt).sum())


def clothes(parser: NetworkParser, root: Path) -> Iterator[tuple[str, float]]:
    """Split and overlap of each person of Clothing Co-Parsing."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "datasets/clothing_co_parsing/parts.py", "--root", root, "--out", f"{folder}/a"]
        labels = root / "annotations/pixel-level"
        subprocess.run([*command, "--labels", labels, "--report", f"{folder}/b"], check=True, capture_output=True)
        table = LabelMaps(f"{folder}/a")
        clothing = translation(table.labels, CLOTHING)
        for row in progress(table, "clothes", total=len(table)):
            gt = clothing[row.decode()] > 0
            window = padded_window(_box(gt), gt.shape[1], gt.shape[0])
            scores = parser.scores(read_image(root, row.image_path), [window])[0]
            yield row.split, overlap(PartMap(window[0], window[1], parser.part_map(*scores), 0.0), gt)


def _box(mask: np.ndarray) -> np.ndarray:
    """x, y, width, height."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1], dtype=float)


def coco(parser: HumanParser, root: Path) -> Iterator[tuple[str, float]]:
    """Split and overlap of each person of the COCO sample with a mask and at least 8 labelled joints."""
    people: list[PersonAnnotation] = []
    for split in ("train", "val"):
        path = root / f"annotations/person_keypoints_{split}2017.json"
        people += read_coco(path, dataset="coco", split=split, skeleton=COCO17, image_folder=f"{split}2017")[0]
    for rows in progress(by_image(people), "coco"):
        targets = [n for n, row in enumerate(rows) if row.num_keypoints >= 8 and row.segmentation and not row.is_crowd]
        if targets:
            image = read_image(root, rows[0].image_path)
            for target, part_map in zip(targets, parser.parse(image, rows, targets)):
                gt = decode_mask(rows[target])
                assert gt is not None
                yield rows[target].split, overlap(part_map, gt)


def main(parser: Annotated[Path, typer.Argument()] = Path("presets/parsers/bodypix.yaml")) -> None:
    data = Path(os.environ["DAG_REAL_DATA"]) / "data"
    network = load_parser(parser, COCO17)
    if not isinstance(network, NetworkParser):
        sys.exit("error: expected a network, got annotated masks")
    sets = {"Clothing Co-Parsing": clothes(network, data / "clothing_co_parsing"), "COCO": coco(network, data / "coco")}
    print("| data set, split | persons | mean IoU | median IoU | IoU below 0.5 |\n|---|---|---|---|---|")
    for name, pairs in sets.items():
        overlaps = list(pairs)
        for split in (("train", "val"), ("val",)):
            values = np.array([value for which, value in overlaps if which in split])
            row = f"{values.mean():.3f} | {np.median(values):.3f} | {(values < 0.5).sum()}"
            print(f"| {name}, {' and '.join(split)} | {len(values)} | {row} |")


if __name__ == "__main__":
    typer.run(main)
