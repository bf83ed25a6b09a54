"""CPU time of a DataLoader of the crop cache with one worker, against mmpose. Goal: 5 times as fast.

    python benchmarks/loader.py COCO_FOLDER ENV/bin/python

benchmarks/peers.txt describes the peer's environment. The same persons of the same train2017 images, 256 x 192, batches
of 64, one persistent worker; CPU time of the main process and the worker together, an epoch of each in turns, medians
of the rounds and of their ratios. mmpose decodes, warps and encodes targets; it normalises on the device. Ours reads
canvases from the cache (written before, not timed); warp, normalisation and targets are computed on the device, and
their time on this CPU is printed as well.
"""

import time
from collections import deque
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import typer
from mmpose_side import BATCH, INPUT_WH, SIGMA, STRIDE, Peer, cpu_seconds, one_thread
from samples import AUGMENT, in_order, spread, write_persons
from torch.utils.data import DataLoader

from dag.augmentation.batch_transforms import warp
from dag.cache.batches import PersonCrops, collate
from dag.cache.build import write_cache
from dag.models.heads.codecs import CODECS
from dag.parallel import Workers
from dag.pool.pool import write_pool
from dag.skeleton import COCO17

GOAL = 5.0
REPEATS = 6
MASK = {"p": 0.5, "min_count": 1, "max_count": 8, "min_size": 10.0, "max_size": 40.0}
PASTE = {"p": 0.0, "min_scale": 0.7, "max_scale": 1.3, "max_rotation": 45.0, "max_covered": 0.8}


def cached(root: Path, folder: Path) -> PersonCrops:
    """The train persons in a crop cache with one occluded rendering each."""
    write_persons(root, folder / "annotations.parquet")
    write_pool(folder / "pool.arrow", [], COCO17)
    write_cache(
        folder / "cache", folder / "annotations.parquet", folder / "pool.arrow", root, input_wh=INPUT_WH, margin=1.25,
        variants=1, shard_mb=64.0, mask=MASK, paste=PASTE, seed=1, workers=Workers(1),
    )  # fmt: skip
    return PersonCrops(folder / "cache", occluded=0.5, seed=1, **AUGMENT)


def on_device(batch: dict) -> None:
    """Warp, normalisation and targets, which the training step computes."""
    size_hw = INPUT_WH[1] // STRIDE, INPUT_WH[0] // STRIDE
    warp(batch["image"], batch["input_from_canvas"], INPUT_WH[::-1])
    xy, visibility = batch["keypoints_input_xy"][:, :1], batch["visibility"][:, :1]
    CODECS["msra"].encode(xy / STRIDE, visibility > 0, size_hw, SIGMA)


def main(root: Path, peer_python: Path, rounds: int = 9) -> None:
    one_thread()
    peer = Peer(peer_python, root)
    with TemporaryDirectory() as folder:
        crops = cached(root, Path(folder))
        order = in_order(crops, peer.call("instances"))
        repeated_order = list(range(len(order))) * REPEATS
        loader = DataLoader(
            crops,  # type: ignore[arg-type]
            BATCH,
            sampler=order * REPEATS,
            num_workers=1,
            persistent_workers=True,
            collate_fn=collate,
        )
        spent: dict[str, list[float]] = {"ours": [], "mmpose": [], "device": []}
        for round_ in range(rounds + 1):
            crops.set_epoch(round_)
            start = cpu_seconds()
            batch = deque(loader, maxlen=1).pop()
            spent["ours"].append((cpu_seconds() - start) / len(repeated_order))
            spent["mmpose"].append(peer.call("loader", order=repeated_order) / len(repeated_order))
            start = time.process_time()
            on_device(batch)
            spent["device"].append((time.process_time() - start) / len(batch["image"]))
    ours, mmpose, device = ([1000 * value for value in values[1:]] for values in spent.values())
    print(f"ours {median(ours):.3f} ms per sample, mmpose {median(mmpose):.3f} ms, one worker each")
    print(f"ratio {spread(mmpose, ours)}, goal {GOAL}")
    print(f"warp, normalisation and targets on this CPU: {median(device):.3f} ms per sample;")
    print(f"ratio with their time added to ours {spread(mmpose, np.add(ours, device).tolist())}")


if __name__ == "__main__":
    typer.run(main)
