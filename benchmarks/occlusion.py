"""Time of mask joints and instance paste on a 192 x 256 crop, against blending in floating point.

    python benchmarks/occlusion.py [--pool data/pool.arrow]

One thread, cut-outs from the pool. The peers differ in the blending alone. Two of them warp the cut-out to the image's
size and blend the whole image in float32, as implementations of Simple Copy-Paste (Ghiasi et al., CVPR 2021) do: the
whole image (640 x 480), of which the crop is taken afterwards, or the crop. The third blends the rectangle that the
cut-out can cover in float32, as in Sarandi et al. (2018).
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from unittest.mock import patch

import cv2
import numpy as np
import typer

from dag.augmentation import occlusion
from dag.augmentation.instances import Instances
from dag.pool.pool import Pool

SAMPLES, TURN = 1000, 50
CROP, IMAGE = (192, 256), (640, 480)
Step = Callable[[np.random.Generator], object]
Blend = Callable[..., np.ndarray]


def blend_whole_image(
    image: np.ndarray, rgba: np.ndarray, crop_from_cutout: np.ndarray, nearer: np.ndarray | None = None
) -> np.ndarray:
    """Blend in float32 at the image's size."""
    warped = cv2.warpAffine(rgba.astype(np.float32), crop_from_cutout, image.shape[1::-1])
    alpha = warped[..., 3:] / 255
    return (image * (1 - alpha) + warped[..., :3] * alpha).round().astype(np.uint8)


def blend_rectangle(
    image: np.ndarray, rgba: np.ndarray, crop_from_cutout: np.ndarray, nearer: np.ndarray | None = None
) -> np.ndarray:
    """Blend in float32 the rectangle that the cut-out can cover."""
    height, width = rgba.shape[:2]
    corners = cv2.transform(np.array([[[0, 0], [width, 0], [0, height], [width, height]]], float), crop_from_cutout)[0]
    left, top = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, image.shape[1::-1])
    right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int), 0, image.shape[1::-1])
    image = image.copy()
    if left < right and top < bottom:
        moved = crop_from_cutout - np.array([[0, 0, left], [0, 0, top]])
        image[top:bottom, left:right] = blend_whole_image(image[top:bottom, left:right], rgba, moved)
    return image


def sample(size: tuple[int, int], joints: int) -> tuple[np.ndarray, Instances, np.ndarray]:
    """A random image, two instances in its central crop, and the box of the crop."""
    rng = np.random.default_rng(0)
    box = np.concatenate([(np.array(size) - CROP) / 2, CROP])
    flags = np.full((2, joints), 2, np.int8)
    xy = rng.uniform(0, CROP, (2, joints, 2)) + box[:2]
    image = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return image, Instances(xy, flags, flags // 2, flags * 0), box


def milliseconds(steps: dict[str, tuple[Step, Blend]]) -> dict[str, float]:
    """Median over samples, each with its own seed; the steps take turns, so that all have the same machine load."""
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
        image, instances, box = sample(size, len(cutouts.skeleton))
        keywords = {"body_diagonal": float(CROP[1]), "center_xywh": box}

        def step(rng: np.random.Generator) -> object:
            masked = occlusion.mask_joints(image, instances, rng, other_image=image) if mask else (image, instances)
            return occlusion.paste_instance(*masked, cutouts, rng, **keywords) if paste else masked

        return step

    times = milliseconds(
        {
            "mask joints": (both(CROP, paste=False), occlusion.blend),
            "instance paste": (both(CROP, mask=False), occlusion.blend),
            "both": (both(CROP), occlusion.blend),
            "both, whole image in float32": (both(IMAGE), blend_whole_image),
            "both, crop in float32": (both(CROP), blend_whole_image),
            "both, rectangle in float32": (both(CROP), blend_rectangle),
        }
    )
    print("| step | ms per sample | relative to both |\n|---|---|---|")
    for name, value in times.items():
        print(f"| {name} | {value:.3f} | {value / times['both']:.1f} |")


if __name__ == "__main__":
    typer.run(main)
