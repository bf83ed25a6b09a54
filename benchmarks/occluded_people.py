"""AP of trained models under occlusion that was not in training: masked joints and pasted validation persons.

    python benchmarks/occluded_people.py MODEL ... [--annotations data/annotations/synthetic.parquet]
        [--root data/synthetic]

MODEL is a folder such as `models/pose`; of an experiment: `dvc get . models/pose --rev EXPERIMENT --out FOLDER`. The
annotations are those of stage `convert`. Validation persons are cut out by their own masks, with the limits of stage
`pool`, and pasted over each other, and joints are masked, with the values of params.yaml, except that both
probabilities are 0 or 1 as the table states. The ground truth is unchanged and includes occluded joints. Flip test,
ground-truth boxes; AP x 100.
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import torch
import typer

from dag.annotation import PersonAnnotation, read_annotations, write_annotations
from dag.augmentation.batch_transforms import normalise
from dag.boxes import boxes_of, evaluated_persons
from dag.cache.build import write_cache
from dag.cache.shards import Shards
from dag.evaluation.coco.average_precision import coco_metrics
from dag.inference.predictor import predict_crops, to_image
from dag.models.pose import DagPose
from dag.models.weights import load_model
from dag.parallel import Workers
from dag.params import load_params
from dag.parsing.mask_parser import MaskParser
from dag.pool.build import build_pool
from dag.skeleton import Skeleton

LEVELS = {"unchanged": (0.0, 0.0), "joints masked": (1.0, 0.0), "person pasted": (0.0, 1.0), "both": (1.0, 1.0)}
"""Probabilities of masked joints and of a pasted person."""


def occluded_crops(folder: Path, annotations: Path, root: Path, input_wh: tuple[int, int]) -> dict[str, Shards]:
    """Caches of the validation persons, whose variant 1 is occluded, by level."""
    params, workers = load_params(), Workers(2)
    persons, skeleton = read_annotations(annotations, "val")
    write_annotations(folder / "annotations.parquet", [replace(person, split="train") for person in persons], skeleton)
    settings = params.pool.model_dump(exclude={"parser"})
    build_pool(folder / "pool.arrow", persons, root, MaskParser(), skeleton, **settings, workers=workers)
    mask, paste = params.cache.mask_joints.model_dump(), params.cache.paste_instance.model_dump()
    for level, (masked, pasted) in LEVELS.items():
        write_cache(
            folder / level, folder / "annotations.parquet", folder / "pool.arrow", root, input_wh=input_wh, variants=1,
            margin=params.cache.margin, shard_mb=params.cache.shard_mb, mask={**mask, "p": masked},
            paste={**paste, "p": pasted}, seed=1, workers=workers,
        )  # fmt: skip
    return {level: Shards(folder / level) for level in LEVELS}


@torch.inference_mode()
def precision(
    model: DagPose, shards: Shards, persons: dict[int, PersonAnnotation], skeleton: Skeleton
) -> dict[str, float]:
    """AP of each output; the network input is the middle of the canvas."""
    (width, height), (canvas_width, canvas_height) = shards.input_wh, shards.canvas_wh
    left, top = (canvas_width - width) // 2, (canvas_height - height) // 2
    inputs = [shards.crop(n, 1).image[top : top + height, left : left + width] for n in range(len(shards))]
    evaluated = [persons[shards.person_id(n)] for n in range(len(shards))]
    flip_index, outputs = torch.from_numpy(skeleton.flip_index), []
    for batch in torch.from_numpy(np.stack(inputs)).split(64):
        images = normalise(batch.permute(0, 3, 1, 2).float() / 255)
        outputs.append(predict_crops(model, images, flip_index, flip=True))
    head_xy, scores, *graph_xy = (torch.cat(parts).double().numpy() for parts in zip(*outputs))
    precisions = {}
    for output, xy in zip((model.head.output, "graph"), (head_xy, *graph_xy)):
        poses = zip(boxes_of(evaluated), xy, scores)
        predictions = [to_image(output, *pose, shards.input_wh) for pose in poses]
        precisions[output] = coco_metrics(list(persons.values()), predictions, skeleton)["AP"] or 0.0
    return precisions


def main(
    models: Annotated[list[Path], typer.Argument(help="Model folders such as models/pose, with the same input size.")],
    annotations: Path = Path("data/annotations/synthetic.parquet"),
    root: Path = Path("data/synthetic"),
) -> None:
    all_persons, skeleton = read_annotations(annotations, "val")
    persons = {person.person_id: person for person in evaluated_persons(all_persons)}
    loaded = {folder: load_model(folder) for folder in models}
    [input_wh] = {size for _, size in loaded.values()}
    with TemporaryDirectory() as folder:
        levels = occluded_crops(Path(folder), annotations, root, input_wh)
        print(f"| model | output | {' | '.join(LEVELS)} |\n|---|---|{'---|' * len(LEVELS)}")
        for name, (model, _) in loaded.items():
            columns = [precision(model, shards, persons, skeleton) for shards in levels.values()]
            for output in columns[0]:
                print(f"| {name} | {output} | {' | '.join(f'{100 * column[output]:.1f}' for column in columns)} |")


if __name__ == "__main__":
    typer.run(main)
