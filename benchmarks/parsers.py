"""How much of a person a parser finds: intersection over union with annotated people of real photographs.

    DAG_REAL_DATA=FOLDER python benchmarks/parsers.py [PARSER]

PARSER is a description of a network (default presets/parsers/bodypix.yaml) or a trained folder. It is asked about each
person's padded box, as the pool asks. Truth is what people drew: the complete maps of Clothing Co-Parsing (the rule of
datasets/clothing_co_parsing/parts.py; bags count as background), one person a photograph; and COCO's masks on the
sample (53 + 48 photographs), where the answer is cut down to the person by joints and neighbours. A parser that was
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

from dag.data.coco_json import read_coco
from dag.data.images import read_image
from dag.data.masks import decode_mask
from dag.data.parsing.base import Parsed, Parser
from dag.data.parsing.labels import WORN, translation
from dag.data.parsing.load import load_parser
from dag.data.parsing.network import NetworkParser, padded_window
from dag.data.parsing.parts import Parts
from dag.data.pool import by_photograph
from dag.person import Person
from dag.skeleton import COCO17
from dag.stage import progress


def overlap(parsed: Parsed, truth: np.ndarray) -> float:
    """Intersection over union of a parsed person and a mask of the photograph's size."""
    found = np.zeros(truth.shape, dtype=bool)
    height, width = parsed.parts.shape
    found[parsed.top : parsed.top + height, parsed.left : parsed.left + width] = parsed.parts > 0
    return float((found & truth).sum() / (found | truth).sum())


def clothes(parser: NetworkParser, root: Path) -> Iterator[tuple[str, float]]:
    """Split and overlap of people of Clothing Co-Parsing."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "datasets/clothing_co_parsing/parts.py", "--root", root, "--out", f"{folder}/a"]
        labels = root / "annotations/pixel-level"
        subprocess.run([*command, "--labels", labels, "--report", f"{folder}/b"], check=True, capture_output=True)
        table = Parts(f"{folder}/a")
        worn = translation(table.labels, WORN)
        for row in progress(table, "clothes", total=len(table)):
            truth = worn[row.decode()] > 0
            window = padded_window(_box(truth), truth.shape[1], truth.shape[0])
            scores = parser.scores(read_image(root, row.image_path), [window])[0]
            yield row.split, overlap(Parsed(window[0], window[1], parser.part_map(*scores), 0.0), truth)


def _box(mask: np.ndarray) -> np.ndarray:
    """x, y, width, height."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1], dtype=float)


def coco(parser: Parser, root: Path) -> Iterator[tuple[str, float]]:
    """Split and overlap of people of the COCO sample with a mask and at least 8 labelled joints."""
    people: list[Person] = []
    for split in ("train", "val"):
        path = root / f"annotations/person_keypoints_{split}2017.json"
        people += read_coco(path, dataset="coco", split=split, skeleton=COCO17, image_folder=f"{split}2017")[0]
    for rows in progress(by_photograph(people), "coco"):
        targets = [n for n, row in enumerate(rows) if row.num_keypoints >= 8 and row.segmentation and not row.is_crowd]
        if targets:
            image = read_image(root, rows[0].image_path)
            for target, parsed in zip(targets, parser.parse(image, rows, targets)):
                truth = decode_mask(rows[target])
                assert truth is not None
                yield rows[target].split, overlap(parsed, truth)


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
