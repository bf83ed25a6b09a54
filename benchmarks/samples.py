"""Time of a training sample and its targets from the JPEG file, against mmpose. Goal: 1.8 times as fast.

    python benchmarks/samples.py COCO_FOLDER ENV/bin/python

benchmarks/peers.txt describes the peer's environment. The same persons of the same train2017 images, 256 x 192, one
thread each; CPU time, an epoch of each in turns, medians of the rounds and of their ratios. Both decode the image for
every person, draw flip, rotation, scale and half body, warp, and encode the target's heatmaps; ours also returns the
joints of all other persons and the ignored region. Also printed: the differences of images and heatmaps without
augmentation (except for persons whose box mmpose clips), and the time of a flip.
"""

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
import typer
from mmpose_side import ANNOTATIONS, IMAGES, INPUT_WH, SIGMA, STRIDE, Peer, cpu_seconds, one_thread

from dag.annotation import PersonAnnotation, Source, write_annotations
from dag.cache.batches import collate
from dag.cache.person_images import PersonImages
from dag.convert.coco import read_coco
from dag.models.heads.codecs import CODECS
from dag.skeleton import COCO17

GOAL = 1.8
BATCH = 16
AUGMENT = {"flip": 0.5, "rotation": 45.0, "rotation_p": 0.6, "scale": 0.35, "half_body": 0.3}
FLIPS = (0.5, 0.0, 1.0)


def write_persons(root: Path, path: Path) -> list[PersonAnnotation]:
    """Write and return the annotations of the train images."""
    keywords = {"dataset": "coco", "split": "train", "skeleton": COCO17, "source": Source.ANNOTATED}
    persons, _ = read_coco(root / ANNOTATIONS, image_folder=IMAGES.rstrip("/"), **keywords)
    write_annotations(path, persons, COCO17)
    return persons


def in_order(dataset, person_ids: list[int]) -> list[int]:
    """Indices of persons in a dataset, in the order of `person_ids`."""
    indices = {dataset[index]["person_id"]: index for index in range(len(dataset))}
    return [indices[person_id] for person_id in person_ids]


def batches(dataset: PersonImages, order: list[int]):
    """Images and heatmaps `[B, J, H / 4, W / 4]`, batch by batch."""
    size_hw = INPUT_WH[1] // STRIDE, INPUT_WH[0] // STRIDE
    for start in range(0, len(order), BATCH):
        batch = collate([dataset[index] for index in order[start : start + BATCH]])
        xy, visibility = batch["keypoints_input_xy"][:, :1], batch["visibility"][:, :1]
        yield batch["image"], CODECS["msra"].encode(xy / STRIDE, visibility > 0, size_hw, SIGMA)


def seconds(dataset: PersonImages, order: list[int]) -> float:
    """CPU time of an epoch."""
    start = cpu_seconds()
    for _ in batches(dataset, order):
        pass
    return cpu_seconds() - start


def compare(
    dataset: PersonImages, order: list[int], persons: list[PersonAnnotation], person_ids: list[int], peer: Peer
) -> None:
    """Print the differences between the samples of both without augmentation."""
    with TemporaryDirectory() as folder:
        peer.call("ground_truth", folder=folder)
        images, heatmaps = (np.load(f"{folder}/{name}.npy") for name in ("images", "heatmaps"))
    ours = [torch.cat(values).numpy() for values in zip(*batches(dataset, order))]
    boxes = {p.person_id: (*p.bbox_xywh[:2] + p.bbox_xywh[2:], p.image_width, p.image_height) for p in persons}
    inner = [right <= width - 1 and bottom <= height - 1 for right, bottom, width, height in map(boxes.get, person_ids)]
    pixels = np.abs(ours[0].astype(int) - images[:, ::-1].transpose(0, 2, 3, 1))[inner]
    gaussians = np.abs(ours[1] - heatmaps)[inner].max((2, 3))
    print(f"{sum(inner)} of {len(person_ids)} boxes are not clipped: images differ by {pixels.mean():.4f} grey levels,")
    print(f"{(gaussians < 0.01).mean():.4f} of the heatmaps are equal\n")


def spread(theirs: list[float], ours: list[float]) -> str:
    """Median and quartiles of the rounds' ratios."""
    low, middle, high = np.quantile(np.divide(theirs, ours), [0.25, 0.5, 0.75])
    return f"{middle:.2f} (half of the rounds {low:.2f} to {high:.2f})"


def main(root: Path, peer_python: Path, rounds: int = 15) -> None:
    one_thread()
    peer = Peer(peer_python, root)
    with TemporaryDirectory() as folder:
        persons = write_persons(root, Path(folder) / "annotations.parquet")

        def person_images(**augment: float) -> PersonImages:
            return PersonImages(f"{folder}/annotations.parquet", root, input_wh=INPUT_WH, seed=1, **augment)

        ours = {flip: person_images(**{**AUGMENT, "flip": flip}) for flip in FLIPS}
        unaugmented = person_images(**dict.fromkeys(AUGMENT, 0.0))
    person_ids = peer.call("instances")
    order = in_order(unaugmented, person_ids)
    compare(unaugmented, order, persons, person_ids, peer)
    times: dict[tuple[str, float], list[float]] = {(name, flip): [] for name in ("ours", "mmpose") for flip in FLIPS}
    for round_ in range(rounds + 1):
        for flip in FLIPS:
            ours[flip].set_epoch(round_)
            times["ours", flip].append(1000 * seconds(ours[flip], order) / len(order))
            spent = peer.call("samples", order=list(range(len(order))), flip=flip)
            times["mmpose", flip].append(1000 * spent / len(order))
    warm = {key: values[1:] for key, values in times.items()}
    print("| ms per sample | flip 0.5 | never flipped | always flipped | flip takes |\n|---|---|---|---|---|")
    for name in ("ours", "mmpose"):
        half, never, always = (median(warm[name, flip]) for flip in FLIPS)
        costs = median(a / n for a, n in zip(warm[name, 1.0], warm[name, 0.0]))
        print(f"| {name} | {half:.2f} | {never:.2f} | {always:.2f} | {100 * (costs - 1):+.0f} % |")
    print(f"\nratio {spread(warm['mmpose', 0.5], warm['ours', 0.5])}, goal {GOAL}")


if __name__ == "__main__":
    typer.run(main)
