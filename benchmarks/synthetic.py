"""Rendering speed in images per second at 320 x 240 with two processes; the goal is 30. `--sheet FILE` draws examples.

python benchmarks/synthetic.py [--images 300] [--sheet sheet.png]
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import cv2
import typer
from typer import Option

from dag.parallel import Workers
from dag.sheets.synthetic import draw_sheet
from dag.synthetic.coco import write_synthetic
from dag.synthetic.render import render_image

GOAL = 30.0
SETTINGS = {"width": 320, "height": 240, "max_persons": 4, "occlusion": 0.5, "seed": 1}


def benchmark(
    images: Annotated[int, Option(help="Number of images to time.")] = 300,
    workers: Annotated[int, Option(help="Number of processes.")] = 2,
    sheet: Annotated[
        Path | None, Option(help="File to draw 6 x 5 images to, and a second one with their ground truth; no timing.")
    ] = None,
) -> None:
    """Time the rendering of a data set, including the start of the processes."""
    if sheet is not None:
        rendered = [render_image(split="train", index=index, **SETTINGS) for index in range(30)]
        for path, gt in ((sheet, False), (sheet.with_stem(f"{sheet.stem}_gt"), True)):
            cv2.imwrite(str(path), draw_sheet(rendered, 6, scale=2, gt=gt)[..., ::-1])
            print(f"wrote {path}")
        return
    with TemporaryDirectory() as folder:
        write_synthetic(Path(folder) / "warm_up", {"train": 16 * workers}, workers=Workers(workers), **SETTINGS)
        start = time.perf_counter()
        write_synthetic(Path(folder) / "synthetic", {"train": images}, workers=Workers(workers), **SETTINGS)
        rate = images / (time.perf_counter() - start)
    print(f"{rate:.1f} images per second with {workers} processes; goal {GOAL:.0f}, ratio {rate / GOAL:.2f}")


if __name__ == "__main__":
    typer.run(benchmark)
