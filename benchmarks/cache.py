"""Stage cache: speed of two processes over one, and memory over the number of persons. Goals: 1.7 times; within 20 %.

    python benchmarks/cache.py [--persons 12000] [--rounds 3]

Persons of rendered images, with the parameters of the default preset. Time is wall-clock time including the start of
processes, of one and of two processes in turns; the bytes are compared. Memory is the peak of the total resident set
size of all processes while two of them write the cache of 1,000 and of 20,000 persons.
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
    """Render images and build their pool; returns the annotations."""
    params, workers = load_params(PRESET), Workers(2)
    setting = params.render["synthetic"].model_dump(exclude={"train", "val"})
    write_synthetic(folder / "synthetic", {"train": IMAGES}, **setting, workers=workers)
    persons, _ = read_coco(
        folder / "synthetic/annotations/person_keypoints_train.json", dataset="synthetic", split="train",
        skeleton=COCO17, image_folder="train", source=Source.RENDERED,
    )  # fmt: skip
    limits = params.pool.model_dump(exclude={"parser"})
    build_pool(folder / "pool.arrow", persons, folder / "synthetic", MaskParser(), COCO17, **limits, workers=workers)
    return persons


def repeat(folder: Path, persons: list[PersonAnnotation], count: int) -> None:
    """Write `count` annotations: copies of `persons` with other ids and image paths."""
    repeated: list[PersonAnnotation] = []
    for copy in range(-(-count // len(persons))):
        link = folder / f"synthetic/{copy}"
        if not link.exists():
            link.symlink_to(".")
        step, name = copy * 10**6, f"{copy}/"
        repeated += [
            replace(p, person_id=p.person_id + step, image_id=p.image_id + step, image_path=name + p.image_path)
            for p in persons
        ]
    write_annotations(folder / f"{count}.parquet", repeated[:count], COCO17)


def cache(folder: Path, count: int, workers: int) -> None:
    """Write the cache of `count` persons as the stage does."""
    params = load_params(PRESET)
    write_cache(
        folder / f"cache_{count}_{workers}", folder / f"{count}.parquet", folder / "pool.arrow", folder / "synthetic",
        input_wh=params.data.input_wh, margin=params.cache.margin, variants=params.cache.variants,
        shard_mb=params.cache.shard_mb, mask=params.cache.mask_joints.model_dump(),
        paste=params.cache.paste_instance.model_dump(), seed=params.seed, workers=Workers(workers),
    )  # fmt: skip


def measure(folder: Path, count: int, workers: int) -> tuple[float, float]:
    """Seconds and peak MiB of writing a new cache in a new process."""
    shutil.rmtree(folder / f"cache_{count}_{workers}", ignore_errors=True)
    code = f"from cache import cache, Path; cache(Path({str(folder)!r}), {count}, {workers})"
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
    """Resident set size, in bytes, of a process and its children."""
    try:
        return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))
    except psutil.NoSuchProcess:
        return 0


def same(one: Path, two: Path) -> bool:
    """Whether both folders have the same files with the same bytes."""
    names = sorted(path.name for path in one.iterdir())
    return names == sorted(path.name for path in two.iterdir()) and all(
        (one / name).read_bytes() == (two / name).read_bytes() for name in names
    )


def main(persons: int = 12000, rounds: int = 3, small: int = 1000, large: int = 20000) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        annotations = prepare(folder)
        for count in (persons, small, large):
            repeat(folder, annotations, count)
        seconds: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(rounds):
            for workers, spent in seconds.items():
                spent.append(measure(folder, persons, workers)[0])
                if not same(folder / f"cache_{persons}_1", folder / f"cache_{persons}_{workers}"):
                    sys.exit("error: the caches differ")
        ratio = median(one / two for one, two in zip(seconds[1], seconds[2]))
        memory = [measure(folder, count, 2)[1] for count in (small, large)]
    print(f"{persons} persons: one process {median(seconds[1]):.1f} s, two {median(seconds[2]):.1f} s, identical bytes")
    print(f"ratio {ratio:.2f}, goal {GOAL}")
    print(f"peak memory {memory[0]:.0f} MiB at {small} persons, {memory[1]:.0f} MiB at {large}")
    print(f"ratio {memory[1] / memory[0]:.2f}, goal {GROWTH}")


if __name__ == "__main__":
    typer.run(main)
