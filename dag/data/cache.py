"""The crop cache: decoded, padded person crops with occluded renderings, made once and read memory-mapped."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from dag.data.crops import canvas_size, is_trainable, render_person, unlabelled_region
from dag.data.cutout import Pool
from dag.data.images import read_image
from dag.data.occlusion import check_pool
from dag.data.shards import MANIFEST, Crop, write_shards
from dag.errors import UserError
from dag.files import whole_folder, write_json
from dag.person import Person, read_persons
from dag.stage import progress

# Sizes of `mask_joints` are meant for an input of this height (192 x 256).
REFERENCE_HEIGHT = 256
# Photographs a worker has in flight: bounds memory.
WINDOW = 16


def write_cache(
    folder: str | Path,
    persons_path: str | Path,
    pool_path: str | Path,
    root: str | Path,
    *,
    input_wh: tuple[int, int],
    margin: float,
    variants: int,
    shard_mb: float,
    mask: Mapping[str, float],
    paste: Mapping[str, float],
    seed: int,
    workers: int,
) -> dict[str, Any]:
    """Write the crops of all trainable people of the train split; the folder appears whole or not at all.

    Same inputs, same bytes, for any number of workers. Memory does not grow with the number of people.

    Args:
        folder: shards and manifest go here.
        persons_path: person rows.
        pool_path: cut-out people.
        root: data root of the photographs.
        input_wh: network input, width and height in pixels.
        margin: canvas over input, per side.
        variants: occluded renderings a person, beside the clean one.
        shard_mb: megabytes a shard.
        mask: probability `p` and the keywords of `mask_joints`, sizes for an input 256 pixels high.
        paste: probability `p` and the keywords of `paste_instance`.
        seed: of all randomness.
        workers: processes.

    Returns:
        The manifest.

    Raises:
        UserError: nobody to train on, an unreadable photograph, or an empty pool although `paste["p"]` is not 0.
    """
    persons, skeleton = read_persons(persons_path, "train")
    if not any(is_trainable(person) for person in persons):
        raise UserError("nobody to train on", where=persons_path, expected="people with labelled joints", got=0)
    if paste["p"]:
        check_pool(Pool(pool_path))
    shape = {"input_wh": input_wh, "variants": variants, "mask": dict(mask), "paste": dict(paste), "seed": seed}
    sources = {"persons": _sha256(persons_path), "pool": _sha256(pool_path)}
    render = {**shape, "canvas_wh": canvas_size(input_wh, margin), "mask": _scaled(mask, input_wh[1])}
    with whole_folder(folder) as partial:
        shards = write_shards(partial, _all_crops(persons, str(root), str(pool_path), render, workers), shard_mb)
        people = sum(shard["people"] for shard in shards)
        manifest = {
            "skeleton": skeleton.text,
            "input_wh": input_wh,
            "canvas_wh": render["canvas_wh"],
            "variants": variants,
            "people": people,
            "crops": people * (variants + 1),
            "shards": shards,
            "shaped_by": {**sources, **shape, "margin": margin, "shard_mb": shard_mb},
        }
        manifest["hash"] = hashlib.sha256(json.dumps(manifest["shaped_by"], sort_keys=True).encode()).hexdigest()
        write_json(partial / MANIFEST, manifest)
    return manifest


def _all_crops(
    persons: list[Person], root: str, pool_path: str, render: dict[str, Any], workers: int
) -> Iterator[list[Crop]]:
    """Crops person by person, photograph after photograph, in the order of the rows."""
    photos: dict[str, list[Person]] = {}
    for person in persons:
        photos.setdefault(person.image_path, []).append(person)
    names = list(photos)
    tasks = []
    for name, people in photos.items():
        other = names[np.random.default_rng((render["seed"], people[0].image_id)).integers(len(names))]
        tasks.append(delayed(_photo_crops)(people, root, None if other == name else other, pool_path, render))
    step = WINDOW * max(workers, 1)
    with Parallel(n_jobs=max(workers, 1), return_as="generator") as parallel:
        windows: Any = (parallel(tasks[start : start + step]) for start in range(0, len(tasks), step))
        for crops in progress(chain.from_iterable(windows), "photographs", total=len(tasks)):
            yield from crops


def _photo_crops(
    people: list[Person], root: str, other: str | None, pool_path: str, render: dict[str, Any]
) -> list[list[Crop]]:
    targets = [person for person in people if is_trainable(person)]
    if not targets:
        return []
    image = read_image(root, people[0].image_path)
    other_image = read_image(root, other) if other and render["mask"]["p"] else None
    pool = _pool(pool_path) if render["paste"]["p"] else ()
    unlabelled = unlabelled_region(people)
    return [
        render_person(
            image, person, [p for p in people if p is not person], pool,
            unlabelled=unlabelled, other_image=other_image, **render,
        )
        for person in targets
    ]  # fmt: skip


@lru_cache(maxsize=1)
def _pool(path: str) -> Pool:
    return Pool(path)


def _scaled(mask: Mapping[str, float], input_height: int) -> dict[str, float]:
    return {**mask, **{name: mask[name] * input_height / REFERENCE_HEIGHT for name in ("min_size", "max_size")}}


def _sha256(path: str | Path) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
