"""Writing of the crop cache: decoded, padded person crops with occluded renderings."""

import hashlib
import json
import os
import shutil
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from dag.annotation import read_annotation_table, table_skeleton
from dag.augmentation.occlusion import REFERENCE_HEIGHT, check_pool
from dag.cache.crops import canvas_size
from dag.cache.shards import MANIFEST, is_intact
from dag.cache.tasks import MADE_BY, Plan, check_free_space, note_path, person_bytes, render_shard
from dag.errors import UserError
from dag.files import read_json, sha256, write_json
from dag.parallel import Workers
from dag.pool.pool import Pool
from dag.stage import progress


def write_cache(
    folder: str | Path,
    annotations_path: str | Path,
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
    workers: Workers,
) -> dict[str, Any]:
    """Write the crops of all trainable persons of the train split, atomically, and return the manifest.

    The bytes are the same for any number of workers, which write the shards themselves; memory does not grow with the
    number of persons. Intact shards of a killed run with the same inputs, parameters and code are kept.

    Args:
        folder: receives shards and manifest.
        annotations_path: annotation table (parquet).
        pool_path: instance pool.
        root: data root of the images.
        input_wh: network input, width and height in pixels.
        margin: side of the canvas over side of the input.
        variants: occluded renderings of each person, besides the clean one.
        shard_mb: approximate size of a shard in megabytes; small sets have smaller ones.
        mask: probability `p` and the keywords of `mask_joints`, sizes for an input 256 pixels high.
        paste: probability `p` and the keywords of `paste_instance`.
        seed: of all randomness.
        workers: processes among which the shards are divided.

    Raises:
        UserError: no persons to train on, an unreadable image, an empty pool although `paste["p"]` is not 0, or too
            little disk space. Nothing is written then, and `folder` is unchanged.
    """
    table = read_annotation_table(annotations_path, "train")
    if paste["p"]:
        check_pool(Pool(pool_path))
    plan = Plan(table, canvas_size(input_wh, margin), variants, shard_mb)
    if not plan.files:
        raise UserError(
            "no persons to train on", where=annotations_path, expected="persons with labelled joints", got=0
        )
    render = {"input_wh": input_wh, "variants": variants, "mask": dict(mask), "paste": dict(paste), "seed": seed}
    inputs = {"persons": sha256(annotations_path), "pool": sha256(pool_path)}
    key = _key({**inputs, **render, "margin": margin, "shard_mb": shard_mb, "made_by": MADE_BY})
    task = partial(
        render_shard,
        root=Path(root).resolve(),
        pool_path=Path(pool_path).resolve() if paste["p"] else None,
        render={**render, "canvas_wh": plan.canvas_wh, "mask": _scaled(mask, input_wh[1])},
        key=key,
        made_by=MADE_BY,
    )
    with _resumed_folder(Path(folder)) as work:
        entries = _resumed(work, key)
        missing = len(plan.files) - len(entries)
        for entry in workers.map(task, _tasks(plan, work.resolve(), entries, seed), "shards", missing):
            entries[entry["file"]] = entry
        manifest = _manifest(plan, entries, input_wh, table_skeleton(table, annotations_path).text)
        write_json(work / MANIFEST, manifest)
        _clear(work, {MANIFEST, *plan.files})
    return manifest


def _key(values: dict[str, Any]) -> str:
    """Hash of everything that determines the shards."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _manifest(
    plan: Plan, entries: Mapping[str, dict[str, Any]], input_wh: tuple[int, int], skeleton: str
) -> dict[str, Any]:
    """Description of the crops alone: without hashes of code or inputs, equal crops give an equal manifest."""
    return {
        "skeleton": skeleton,
        "input_wh": input_wh,
        "canvas_wh": plan.canvas_wh,
        "variants": plan.variants,
        "instances": sum(plan.counts),
        "crops": sum(plan.counts) * (plan.variants + 1),
        "shards": [entries[file] for file in plan.files],
    }


def _tasks(plan: Plan, folder: Path, done: Container[str], seed: int) -> Iterator[tuple]:
    """The positional arguments of `render_shard` for each shard that is not done."""
    missing = [shard for shard, file in enumerate(plan.files) if file not in done]
    persons = sum(plan.counts[shard] for shard in missing)
    check_free_space(folder, persons * person_bytes(plan.canvas_wh, plan.variants))
    for shard in missing:
        table, targets = plan.annotations(shard)
        yield folder / plan.files[shard], table, targets, plan.other_images(table, seed)


def _resumed(work: Path, key: str) -> dict[str, dict[str, Any]]:
    """Entries, by file, of the intact shards that a killed run with this key left in `work`; removes all else there."""
    entries = _noted(work, key)
    kept = {
        entry["file"]: entry
        for entry in (progress(entries, f"check {work}") if entries else ())
        if is_intact(work, entry)
    }
    _clear(work, {*kept, *(note_path(Path(file)).name for file in kept)})
    return kept


def _noted(folder: Path, key: str) -> list[dict[str, Any]]:
    """Entries of the notes in a folder that have this key."""
    entries = []
    for path in sorted(folder.glob("*.json")):
        try:
            note = read_json(path)
        except UserError:
            continue
        if isinstance(note, dict) and note.get("key") == key:
            entries.append(note["shard"])
    return entries


def _clear(folder: Path, keep: Container[str]) -> None:
    """Remove all files but those whose names are in `keep`."""
    for path in folder.iterdir():
        if path.name not in keep:
            path.unlink()


@contextmanager
def _resumed_folder(path: Path) -> Iterator[Path]:
    """As `dag.files.whole_folder`, but the temporary folder keeps what a killed run left in it."""
    work = path.with_name(f".{path.name}.partial")
    work.mkdir(parents=True, exist_ok=True)
    try:
        yield work
        if path.exists():
            shutil.rmtree(path)
        os.replace(work, path)
    except Exception:
        shutil.rmtree(work, ignore_errors=True)
        raise


def _scaled(mask: Mapping[str, float], input_height: int) -> dict[str, float]:
    """Sizes of mask joints in pixels of an input of this height."""
    return {**mask, **{name: mask[name] * input_height / REFERENCE_HEIGHT for name in ("min_size", "max_size")}}
