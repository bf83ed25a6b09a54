"""How much of a person a parser finds: intersection over union with annotated people of real images.

    DAG_REAL_DATA=FOLDER python benchmarks/parsers.py [PARSER]

PARSER is a description of a network (default presets/parsers/bodypix.yaml) or a trained folder. It is asked about each
person's padded box, as the pool asks. GroundTruth is what people drew: the complete maps of Clothing Co-Parsing (the rule of
datasets/clothing_co_parsing/parts.py; bags count as background), one person an image; and COCO's masks on the
sample (53 + 48 images), where the answer is cut down to the person by joints and neighbours. A parser that was
trained on one of them is judged by the rows of its val.
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
from dag.parsing.labels import CLOTHING, translation
from dag.parsing.load import load_parser
from dag.parsing.network_parser import NetworkParser, padded_window
from dag.parsing.label_maps import Parts
from dag.pool.build import by_image
from dag.skeleton import COCO17
from dag.stage import progress


def overlap(parsed: PartMap, gt: np.ndarray) -> float:
    """Intersection over union of a parsed person and a mask of the image's size."""
    found = np.zeros(gt.shape, dtype=bool)
    height, width = parsed.parts.shape
    found[parsed.top : parsed.top + height, parsed.left : parsed.left + width] = parsed.parts > 0
    return float((found & gt).sum() / (found | gt).sum())


def clothes(parser: NetworkParser, root: Path) -> Iterator[tuple[str, float]]:
    """Split and overlap of people of Clothing Co-Parsing."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "datasets/clothing_co_parsing/parts.py", "--root", root, "--out", f"{folder}/a"]
        labels = root / "annotations/pixel-level"
        subprocess.run([*command, "--labels", labels, "--report", f"{folder}/b"], check=True, capture_output=True)
        table = Parts(f"{folder}/a")
        worn = translation(table.labels, CLOTHING)
        for row in progress(table, "clothes", total=len(table)):
            gt = worn[row.decode()] > 0
            window = padded_window(_box(gt), gt.shape[1], gt.shape[0])
            scores = parser.scores(read_image(root, row.image_path), [window])[0]
            yield row.split, overlap(PartMap(window[0], window[1], parser.part_map(*scores), 0.0), gt)


def _box(mask: np.ndarray) -> np.ndarray:
    """x, y, width, height."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1], dtype=float)


def coco(parser: HumanParser, root: Path) -> Iterator[tuple[str, float]]:
    """Split and overlap of people of the COCO sample with a mask and at least 8 labelled joints."""
    people: list[PersonAnnotation] = []
    for split in ("train", "val"):
        path = root / f"annotations/person_keypoints_{split}2017.json"
        people += read_coco(path, dataset="coco", split=split, skeleton=COCO17, image_folder=f"{split}2017")[0]
    for rows in progress(by_image(people), "coco"):
        targets = [n for n, row in enumerate(rows) if row.num_keypoints >= 8 and row.segmentation and not row.is_crowd]
        if targets:
            image = read_image(root, rows[0].image_path)
            for target, parsed in zip(targets, parser.parse(image, rows, targets)):
                gt = decode_mask(rows[target])
                assert gt is not None
                yield rows[target].split, overlap(parsed, gt)


def main(parser: Annotated[Path, typer.Argument()] = Path("presets/parsers/bodypix.yaml")) -> None:
    data = Path(os.environ["DAG_REAL_DATA"]) / "data"
    network = load_parser(parser, COCO17)
    if not isinstance(network, NetworkParser):
        sys.exit("error: masks are no network")
    sets = {"Clothing Co-Parsing": clothes(network, data / "clothing_co_parsing"), "COCO": coco(network, data / "coco")}
    print("| people of | how many | mean IoU | median | below .5 |\n|---|---|---|---|---|")
    for name, pairs in sets.items():
        found = list(pairs)
        for split in (("train", "val"), ("val",)):
            values = np.array([value for which, value in found if which in split])
            row = f"{values.mean():.3f} | {np.median(values):.3f} | {(values < 0.5).sum()}"
            print(f"| {name}, {' and '.join(split)} | {len(values)} | {row} |")


if __name__ == "__main__":
    typer.run(main)
