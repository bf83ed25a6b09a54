"""Images a second that two processes render at 320 x 240, against the goal of 30; `--sheet FILE` draws some.

python benchmarks/metrics.py [--photos 300] [--sheet sheet.png]
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
SETTING = {"width": 320, "height": 240, "instances": 4, "occlusion": 0.5, "seed": 1}


def metrics(
    photos: Annotated[int, Option(help="images to time")] = 300,
    workers: Annotated[int, Option(help="processes")] = 2,
    sheet: Annotated[Path | None, Option(help="picture to draw instead: 6 x 5 images, then their ground_truth")] = None,
) -> None:
    """Time the rendering of whole folders, start of the processes included."""
    if sheet is not None:
        drawn = [render_image(split="train", index=index, **SETTING) for index in range(30)]
        for path, gt in ((sheet, False), (sheet.with_stem(f"{sheet.stem}_truth"), True)):
            cv2.imwrite(str(path), draw_sheet(drawn, 6, scale=2, gt=gt)[..., ::-1])
            print(f"wrote {path}")
        return
    with TemporaryDirectory() as folder:
        write_synthetic(Path(folder) / "warm_up", {"train": 16 * workers}, workers=Workers(workers), **SETTING)
        start = time.perf_counter()
        write_synthetic(Path(folder) / "synthetic", {"train": photos}, workers=Workers(workers), **SETTING)
        rate = photos / (time.perf_counter() - start)
    print(f"{rate:.1f} images a second with {workers} processes; goal {GOAL:.0f}, ratio {rate / GOAL:.2f}")


if __name__ == "__main__":
    typer.run(metrics)
