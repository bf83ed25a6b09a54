"""Building of the crop cache: decoded, padded person crops with occluded renderings."""

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
from dag.augmentation.occlusion import check_pool
from dag.cache.crops import canvas_size
from dag.cache.shards import MANIFEST, is_sound
from dag.cache.tasks import MADE_BY, Plan, check_room, make_shard, note_path, person_bytes
from dag.errors import UserError
from dag.files import read_json, sha256, write_json
from dag.parallel import Workers
from dag.pool.pool import Pool
from dag.stage import progress

# Sizes of `mask_joints` refer to an input of this height (192 x 256).
REFERENCE_HEIGHT = 256


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
    workers: Workers,
) -> dict[str, Any]:
    """Write the crops of all trainable persons of the train split; the folder appears whole or not at all.

    Same inputs give the same bytes for any workers, which write the shards themselves; memory does not grow with the
    number of persons. Intact shards of a killed run with the same inputs, parameters and code are kept.

    Args:
        folder: shards and manifest go here.
        persons_path: annotations (parquet).
        pool_path: cut-out people.
        root: data root of the images.
        input_wh: network input, width and height in pixels.
        margin: canvas over input, per side.
        variants: occluded renderings of each person, beside the clean one.
        shard_mb: approximate size of a shard in megabytes; small sets have smaller ones.
        mask: probability `p` and the keywords of `mask_joints`, sizes for an input 256 pixels high.
        paste: probability `p` and the keywords of `paste_instance`.
        seed: of all randomness.
        workers: processes among which the shards are divided.

    Returns:
        The manifest.

    Raises:
        UserError: no persons to train on, an unreadable image, an empty pool although `paste["p"]` is not 0, or no
            room. Nothing is written then, and `folder` is unchanged.
    """
    rows = read_annotation_table(persons_path, "train")
    if paste["p"]:
        check_pool(Pool(pool_path))
    canvas_wh = canvas_size(input_wh, margin)
    plan = Plan(rows, canvas_wh, variants, shard_mb)
    if not plan.files:
        raise UserError("no persons to train on", where=persons_path, expected="persons with labelled joints", got=0)
    shape = {"input_wh": input_wh, "variants": variants, "mask": dict(mask), "paste": dict(paste), "seed": seed}
    sources = {"persons": sha256(persons_path), "pool": sha256(pool_path)}
    shaped_by = {**sources, **shape, "margin": margin, "shard_mb": shard_mb, "made_by": MADE_BY}
    digest = hashlib.sha256(json.dumps(shaped_by, sort_keys=True).encode()).hexdigest()
    make = partial(
        make_shard,
        root=Path(root).resolve(),
        pool_path=Path(pool_path).resolve() if paste["p"] else None,
        render={**shape, "canvas_wh": canvas_wh, "mask": _scaled(mask, input_wh[1])},
        digest=digest,
        made_by=MADE_BY,
    )
    with _resumed_folder(Path(folder)) as work:
        shards = _resumed(work, digest)
        tasks = _tasks(plan, work.resolve(), shards, seed, person_bytes(canvas_wh, variants))
        for entry in workers.map(make, tasks, "shards", len(plan.files) - len(shards)):
            shards[entry["file"]] = entry
        manifest = {
            "skeleton": table_skeleton(rows, persons_path).text,
            "input_wh": input_wh,
            "canvas_wh": canvas_wh,
            "variants": variants,
            "instances": sum(plan.people),
            "crops": sum(plan.people) * (variants + 1),
            "shards": [shards[file] for file in plan.files],
        }
        write_json(work / MANIFEST, manifest)
        _clear(work, {MANIFEST, *plan.files})
    return manifest


def _tasks(plan: Plan, folder: Path, done: Container[str], seed: int, size: int) -> Iterator[tuple]:
    """The first arguments of `make_shard` for each shard that is not done."""
    missing = [shard for shard, file in enumerate(plan.files) if file not in done]
    check_room(folder, sum(plan.people[shard] for shard in missing) * size)
    for shard in missing:
        rows, targets = plan.rows(shard)
        yield folder / plan.files[shard], rows, targets, plan.others(rows, seed)


def _resumed(work: Path, digest: str) -> dict[str, dict[str, Any]]:
    """Entries of the intact shards that a killed run of the same cache left in `work`, by file; the rest is removed."""
    entries = _entries(work, digest)
    kept = {
        entry["file"]: entry
        for entry in (progress(entries, f"check {work}") if entries else ())
        if is_sound(work, entry)
    }
    _clear(work, {*kept, *(note_path(Path(file)).name for file in kept)})
    return kept


def _entries(folder: Path, digest: str) -> list[dict[str, Any]]:
    """Entries of the notes in a folder that belong to this cache."""
    entries = []
    for path in sorted(folder.glob("*.json")):
        try:
            note = read_json(path)
        except UserError:
            continue
        if isinstance(note, dict) and note.get("hash") == digest:
            entries += note["shards"]
    return entries


def _clear(folder: Path, keep: Container[str]) -> None:
    """Remove everything else."""
    for path in folder.iterdir():
        if path.name not in keep:
            path.unlink()


@contextmanager
def _resumed_folder(path: Path) -> Iterator[Path]:
    """As `dag.files.whole_folder`, but what a killed run left in the temporary folder is still there."""
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
    return {**mask, **{name: mask[name] * input_height / REFERENCE_HEIGHT for name in ("min_size", "max_size")}}
