"""Milliseconds that mask joints and instance paste take on a 192 x 256 sample, beside a blend of the whole picture.

    python benchmarks/occlusion.py [--pool data/pool.arrow]

One thread, cut-outs from the pool. The peer is what most code does: the cut-out warped to the whole picture and blended
in floating point, with the same labels worked out.
"""

import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import typer

from dag.data import occlusion
from dag.data.cutout import Pool
from dag.data.people import People

SAMPLES = 600
MASK = {"min_count": 1, "max_count": 8, "min_size": 10.0, "max_size": 40.0}
PASTE = {"min_scale": 0.7, "max_scale": 1.3, "max_rotation": 45.0, "max_covered": 0.8, "body_diagonal": 256.0}


def whole_picture(image: np.ndarray, rgba: np.ndarray, crop_from_cutout: np.ndarray, nearer: np.ndarray) -> np.ndarray:
    """The peer: everything in float32, at the size of the picture."""
    warped = cv2.warpAffine(rgba.astype(np.float32), crop_from_cutout, image.shape[1::-1])
    alpha = warped[..., 3:] / 255 * ~nearer[..., None]
    return (image.astype(np.float32) * (1 - alpha) + warped[..., :3] * alpha).round().astype(np.uint8)


def milliseconds(step: Callable[[np.random.Generator], object]) -> float:
    """Median over samples, each with its own seed."""
    times = []
    for seed in range(SAMPLES):
        rng = np.random.default_rng(seed)
        started = time.perf_counter()
        step(rng)
        times.append(time.perf_counter() - started)
    return 1000 * float(np.median(times))


def main(pool: Path = Path("data/pool.arrow")) -> None:
    cv2.setNumThreads(1)
    cutouts = Pool(pool)
    joints = len(cutouts.skeleton)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (256, 192, 3), dtype=np.uint8)
    flags = np.full((2, joints), 2, np.int8)
    people = People(rng.uniform(20, 170, (2, joints, 2)), flags, flags // 2, flags * 0)

    def mask(rng: np.random.Generator) -> tuple[np.ndarray, People]:
        return occlusion.mask_joints(image, people, rng, **MASK, other_image=image)

    def paste(rng: np.random.Generator) -> tuple[np.ndarray, People]:
        return occlusion.paste_instance(image, people, cutouts, rng, **PASTE)

    def both(rng: np.random.Generator) -> tuple[np.ndarray, People]:
        return occlusion.paste_instance(*mask(rng), cutouts, rng, **PASTE)

    both(rng)
    alone = {step.__name__: milliseconds(step) for step in (mask, paste, both)}
    with patch.object(occlusion, "blend", whole_picture):
        peer = milliseconds(both)
    print("| step | ms a sample |\n|---|---|")
    for name, value in alone.items():
        print(f"| {name} | {value:.3f} |")
    print(f"| both, whole picture in floats | {peer:.3f} |\n\n{peer / alone['both']:.1f} times faster")


if __name__ == "__main__":
    typer.run(main)
