"""Milliseconds that mask joints and instance paste take on a 192 x 256 crop, beside a blend in floating point.

    python benchmarks/occlusion.py [--pool data/pool.arrow]

One thread, cut-outs from the pool. The peer does the same with the same labels, but warps the cut-out to the size of
the picture and blends all of it in float32, as implementations of Simple Copy-Paste (Ghiasi et al., CVPR 2021) do: on
the image (640 x 480) that the crop is taken from afterwards, or on the crop. A blend in float32 of the rectangle
that the cut-out reaches, as in Sarandi et al. (2018), is the third.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from unittest.mock import patch

import cv2
import numpy as np
import typer
from dag.data import occlusion

from dag.augmentation.instances import Instances
from dag.pool.pool import Pool

SAMPLES, TURN = 1000, 50
CROP, IMAGE = (192, 256), (640, 480)
Step = Callable[[np.random.Generator], object]
Blend = Callable[..., np.ndarray]


def whole_picture(
    image: np.ndarray, rgba: np.ndarray, crop_from_cutout: np.ndarray, nearer: np.ndarray | None = None
) -> np.ndarray:
    """The peer: everything in float32, at the size of the picture."""
    warped = cv2.warpAffine(rgba.astype(np.float32), crop_from_cutout, image.shape[1::-1])
    alpha = warped[..., 3:] / 255
    return (image * (1 - alpha) + warped[..., :3] * alpha).round().astype(np.uint8)


def rectangle(
    image: np.ndarray, rgba: np.ndarray, crop_from_cutout: np.ndarray, nearer: np.ndarray | None = None
) -> np.ndarray:
    """The other peer: the same on the rectangle that the cut-out reaches."""
    height, width = rgba.shape[:2]
    corners = cv2.transform(np.array([[[0, 0], [width, 0], [0, height], [width, height]]], float), crop_from_cutout)[0]
    left, top = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, image.shape[1::-1])
    right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int), 0, image.shape[1::-1])
    image = image.copy()
    if left < right and top < bottom:
        moved = crop_from_cutout - np.array([[0, 0, left], [0, 0, top]])
        image[top:bottom, left:right] = whole_picture(image[top:bottom, left:right], rgba, moved)
    return image


def sample(size: tuple[int, int], joints: int) -> tuple[np.ndarray, Instances, np.ndarray]:
    """A picture, two people where the crop is on it, and the crop's box."""
    rng = np.random.default_rng(0)
    box = np.concatenate([(np.array(size) - CROP) / 2, CROP])
    flags = np.full((2, joints), 2, np.int8)
    xy = rng.uniform(0, CROP, (2, joints, 2)) + box[:2]
    image = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return image, Instances(xy, flags, flags // 2, flags * 0), box


def milliseconds(steps: dict[str, tuple[Step, Blend]]) -> dict[str, float]:
    """Median over samples, each with its own seed; the steps take turns, so that all of them see the same machine."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(0, SAMPLES, TURN):
        for name, (step, blend) in steps.items():
            with patch.object(occlusion, "blend", blend):
                for seed in range(turn, turn + TURN):
                    rng = np.random.default_rng(seed)
                    started = time.perf_counter()
                    step(rng)
                    times[name].append(time.perf_counter() - started)
    return {name: 1000 * float(np.median(values)) for name, values in times.items()}


def main(pool: Annotated[Path, typer.Option()] = Path("data/pool.arrow")) -> None:
    cv2.setNumThreads(1)
    cutouts = Pool(pool)

    def both(size: tuple[int, int], mask: bool = True, paste: bool = True) -> Step:
        image, people, box = sample(size, len(cutouts.skeleton))
        where = {"body_diagonal": float(CROP[1]), "center_xywh": box}

        def step(rng: np.random.Generator) -> object:
            done = occlusion.mask_joints(image, people, rng, other_image=image) if mask else (image, people)
            return occlusion.paste_instance(*done, cutouts, rng, **where) if paste else done

        return step

    metrics = milliseconds(
        {
            "mask joints": (both(CROP, paste=False), occlusion.blend),
            "instance paste": (both(CROP, mask=False), occlusion.blend),
            "both": (both(CROP), occlusion.blend),
            "both, the image blended in floats": (both(IMAGE), whole_picture),
            "both, the crop blended in floats": (both(CROP), whole_picture),
            "both, the rectangle blended in floats": (both(CROP), rectangle),
        }
    )
    print("| step | ms a sample | over both |\n|---|---|---|")
    for name, value in metrics.items():
        print(f"| {name} | {value:.3f} | {value / metrics['both']:.1f} |")


if __name__ == "__main__":
    typer.run(main)
