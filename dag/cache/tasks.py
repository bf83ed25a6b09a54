"""Tasks of building the crop cache: one for each shard, determined by annotations and parameters alone."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from jaxtyping import Int

from dag.annotation import PersonAnnotation, table_to_annotations
from dag.cache.crops import is_trainable, render_person, unlabelled_region
from dag.cache.shards import IGNORE_STRIDE, Crop, write_shard
from dag.errors import UserError
from dag.files import shared_file
from dag.image import read_image
from dag.pool.pool import Pool

LEAST_SHARDS = 16
"""Minimum number of shards, so that small sets can be divided among workers."""


def _code_hash() -> str:
    """Hash of the package's sources."""
    package = Path(__file__).parent.parent
    sources = [path.read_bytes() for path in sorted(package.rglob("*.py"))]
    return hashlib.sha256(b"".join(sources)).hexdigest()


MADE_BY = {"numpy": np.__version__, "opencv": cv2.__version__, "pyarrow": pa.__version__, "code": _code_hash()}
"""Code and libraries of this process when it started; a long-lived worker may have older code."""


class Plan:
    """Assignment of persons to shards, image after image, in the order of the annotations.

    Args:
        rows: annotation table of the split.
        canvas_wh, variants: of the renderings.
        shard_mb: megabytes a shard, about; small sets have smaller ones, `LEAST_SHARDS` of them.

    Attributes:
        files: names of the shards.
        people: number of people in each, as even as can be.
    """

    def __init__(self, rows: pa.Table, canvas_wh: tuple[int, int], variants: int, shard_mb: float):
        images = _numbers(rows)
        order = np.argsort(images, kind="stable")
        self._rows, self._image_numbers = rows.take(order), images[order]
        self._starts = np.unique(self._image_numbers, return_index=True)[1]
        some = (self._rows.slice(start, 1000) for start in range(0, len(rows), 1000))
        trainable = [is_trainable(person) for part in some for person in table_to_annotations(part)]
        targets = np.flatnonzero(trainable)
        fitting = max(int(shard_mb * 1e6 / person_bytes(canvas_wh, variants)), 1)
        count = max(-(-len(targets) // fitting), min(len(targets), LEAST_SHARDS))
        self._targets = np.array_split(targets, count) if count else []
        self.people = [len(part) for part in self._targets]
        self.files = [f"train-{number:05d}.arrow" for number in range(count)]

    def rows(self, shard: int) -> tuple[pa.Table, Int[np.ndarray, " T"]]:
        """All rows of a shard's images, and the numbers of those among them that are rendered."""
        targets, numbers = self._targets[shard], self._image_numbers
        first = int(np.searchsorted(numbers, numbers[targets[0]]))
        last = int(np.searchsorted(numbers, numbers[targets[-1]], side="right"))
        return self._rows.take(np.arange(first, last)), targets - first

    def others(self, rows: pa.Table, seed: int) -> dict[str, str]:
        """Another image for each image of `rows`, drawn by its id; it may be the same."""
        ids = dict(zip(rows["image_path"].to_pylist(), rows["image_id"].to_pylist()))
        names = self._rows["image_path"]
        drawn = {name: np.random.default_rng((seed, id_)).integers(len(self._starts)) for name, id_ in ids.items()}
        return {name: names[int(self._starts[number])].as_py() for name, number in drawn.items()}


def person_bytes(canvas_wh: tuple[int, int], variants: int) -> int:
    """Size of a person's renderings; what is stored beside the pixels is small."""
    width, height = canvas_wh
    return (variants + 1) * (3 * width * height + width * height // IGNORE_STRIDE**2)


def _numbers(rows: pa.Table) -> Int[np.ndarray, " N"]:
    """Each row's image, numbered in the order of their first rows."""
    return rows["image_path"].combine_chunks().dictionary_encode().indices.to_numpy()


def make_shard(
    path: Path,
    rows: pa.Table,
    targets: Int[np.ndarray, " T"],
    others: dict[str, str],
    *,
    root: Path,
    pool_path: Path | None,
    render: dict[str, Any],
    digest: str,
    made_by: dict[str, str],
) -> dict[str, Any]:
    """Render and write one shard and a note of it, each whole or not at all.

    Args:
        path: the shard.
        rows, targets: as `Plan.rows`.
        others: another image for each image, as `Plan.others`.
        root: data root of the images.
        pool_path: the pool file; None without instance paste.
        render: the keywords of `render_person`.
        digest: the cache's hash; goes into the note beside the shard, from which a later run knows it.
        made_by: `MADE_BY` of the process that divides the work.

    Returns:
        Its entry in the manifest.

    Raises:
        UserError: an unreadable image, no room, or a worker with other code than the dividing process.
    """
    if made_by != MADE_BY:
        do = "restart the cluster's workers, with the same versions everywhere"
        raise UserError("a worker has other code or libraries", expected=made_by, got=MADE_BY, do=do)
    people, pool = table_to_annotations(rows), Pool(pool_path) if pool_path else ()
    try:
        entry = write_shard(path, _crops(people, set(targets.tolist()), others, root, pool, render))
        with shared_file(note_path(path)) as note:
            note.write_text(json.dumps({"hash": digest, "shards": [entry]}))
        return entry
    except OSError as error:
        size = len(targets) * person_bytes(render["canvas_wh"], render["variants"])
        raise _no_room(path, size, error) from None


def note_path(shard: Path) -> Path:
    """Where the note of a shard is while the cache is made: the hash of the cache, and the shard's entry."""
    return shard.with_name(f"{shard.name}.json")


def check_room(folder: Path, size: int) -> None:
    """Raise a UserError if `folder` has no room for so many bytes."""
    if size > shutil.disk_usage(folder).free:
        raise _no_room(folder, size, "the cache does not fit")


def _no_room(path: Path, size: int, why: object) -> UserError:
    free = shutil.disk_usage(path.parent).free
    do = "make room, or lower cache.variants"
    return UserError("cannot write", where=path, expected=f"{size} bytes", got=f"{free} bytes free ({why})", do=do)


def _crops(
    people: Sequence[PersonAnnotation],
    targets: set[int],
    others: dict[str, str],
    root: Path,
    pool: Pool | Sequence[Any],
    render: dict[str, Any],
) -> Iterator[list[Crop]]:
    """Renderings target after target."""
    for name, group in groupby(enumerate(people), key=lambda entry: entry[1].image_path):
        members = list(group)
        targets_here = [person for number, person in members if number in targets]
        if not targets_here:
            continue
        image, together = read_image(root, name), [person for _, person in members]
        other = others[name] if render["mask"]["p"] else name
        other_image = None if other == name else read_image(root, other)
        unlabelled = unlabelled_region(together)
        for person in targets_here:
            neighbours = [neighbour for neighbour in together if neighbour is not person]
            yield render_person(
                image, person, neighbours, pool, unlabelled=unlabelled, other_image=other_image, **render
            )
