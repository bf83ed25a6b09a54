"""The cache stage: two processes beside one, and its memory as people grow. Goals: 1.7 times as fast; within 20 %.

    python benchmarks/cache.py [--people 12000] [--rounds 3]

Instances of rendered images, as the embedded default has them. Time is the wall clock's, the start of processes
included, of one and of two in turns; the bytes are compared. Memory is the peak of the resident sets of all processes
together while two write the cache of 1,000 and of 20,000 people.
"""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import psutil
import typer

from dag.annotation import PersonAnnotation, Source, write_annotations
from dag.cache.build import write_cache
from dag.convert.coco import read_coco
from dag.parallel import Workers
from dag.params import load_params
from dag.parsing.mask_parser import MaskParser
from dag.pool.build import build_pool
from dag.skeleton import COCO17
from dag.synthetic.coco import write_synthetic

GOAL, GROWTH = 1.7, 1.2
IMAGES = 200
PRESET = Path(__file__).parent.parent / "presets/default.yaml"


def prepare(folder: Path) -> list[PersonAnnotation]:
    """Rendered images, their pool, and their rows."""
    params, workers = load_params(PRESET), Workers(2)
    setting = params.render["synthetic"].model_dump(exclude={"train", "val"})
    write_synthetic(folder / "synthetic", {"train": IMAGES}, **setting, workers=workers)
    rows, _ = read_coco(
        folder / "metrics/annotations/person_keypoints_train.json", dataset="synthetic", split="train", skeleton=COCO17,
        image_folder="train", source=Source.RENDERED,
    )  # fmt: skip
    limits = params.pool.model_dump(exclude={"parser"})
    build_pool(folder / "pool.arrow", rows, folder / "synthetic", MaskParser(), COCO17, **limits, workers=workers)
    return rows


def repeat(folder: Path, rows: list[PersonAnnotation], people: int) -> None:
    """Rows of so many people: the same again and again, under other ids and names of images."""
    repeated: list[PersonAnnotation] = []
    for copy in range(-(-people // len(rows))):
        link = folder / f"metrics/{copy}"
        if not link.exists():
            link.symlink_to(".")
        step, name = copy * 10**6, f"{copy}/"
        repeated += [
            replace(r, person_id=r.person_id + step, image_id=r.image_id + step, image_path=name + r.image_path)
            for r in rows
        ]
    write_annotations(folder / f"{people}.parquet", repeated[:people], COCO17)


def cache(folder: Path, people: int, workers: int) -> None:
    """The stage's work."""
    params = load_params(PRESET)
    write_cache(
        folder / f"cache_{people}_{workers}", folder / f"{people}.parquet", folder / "pool.arrow", folder / "synthetic",
        input_wh=params.data.input_wh, margin=params.cache.margin, variants=params.cache.variants,
        shard_mb=params.cache.shard_mb, mask=params.cache.mask_joints.model_dump(),
        paste=params.cache.paste_instance.model_dump(), seed=params.seed, workers=Workers(workers),
    )  # fmt: skip


def measure(folder: Path, people: int, workers: int) -> tuple[float, float]:
    """Seconds and peak MiB of the work in a process of its own, from nothing."""
    shutil.rmtree(folder / f"cache_{people}_{workers}", ignore_errors=True)
    code = f"from cache import cache, Path; cache(Path({str(folder)!r}), {people}, {workers})"
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": f"{here}:{here.parent}", "OMP_NUM_THREADS": "1"}
    started, peak = time.perf_counter(), 0
    process = psutil.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, resident(process))
        time.sleep(0.1)
    if process.returncode:
        sys.exit("error: the cache was not written")
    return time.perf_counter() - started, peak / 2**20


def resident(process: psutil.Process) -> int:
    """Bytes of a process and its children."""
    try:
        return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))
    except psutil.NoSuchProcess:
        return 0


def same(one: Path, two: Path) -> bool:
    """Whether both folders hold the same bytes."""
    names = sorted(path.name for path in one.iterdir())
    return names == sorted(path.name for path in two.iterdir()) and all(
        (one / name).read_bytes() == (two / name).read_bytes() for name in names
    )


def main(people: int = 12000, rounds: int = 3, small: int = 1000, large: int = 20000) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        rows = prepare(folder)
        for count in (people, small, large):
            repeat(folder, rows, count)
        seconds: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(rounds):
            for workers, spent in seconds.items():
                spent.append(measure(folder, people, workers)[0])
                if not same(folder / f"cache_{people}_1", folder / f"cache_{people}_{workers}"):
                    sys.exit("error: other bytes")
        ratio = median(one / two for one, two in zip(seconds[1], seconds[2]))
        memory = [measure(folder, count, 2)[1] for count in (small, large)]
    print(f"{people} people: one process {median(seconds[1]):.1f} s, two {median(seconds[2]):.1f} s, identical bytes")
    print(f"ratio {ratio:.2f}, goal {GOAL}")
    print(f"peak memory {memory[0]:.0f} MiB at {small} people, {memory[1]:.0f} MiB at {large}")
    print(f"ratio {memory[1] / memory[0]:.2f}, goal {GROWTH}")


if __name__ == "__main__":
    typer.run(main)
