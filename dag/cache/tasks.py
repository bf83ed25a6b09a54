"""Tasks of writing the crop cache, one for each shard, determined by annotations and parameters alone."""

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

MIN_SHARDS = 16
"""Minimum number of shards, so that small sets can be divided among workers."""


def _code_hash() -> str:
    """Hash of the package's sources."""
    package = Path(__file__).parent.parent
    sources = [path.read_bytes() for path in sorted(package.rglob("*.py"))]
    return hashlib.sha256(b"".join(sources)).hexdigest()


MADE_BY = {"numpy": np.__version__, "opencv": cv2.__version__, "pyarrow": pa.__version__, "code": _code_hash()}
"""Libraries and code of this process when it started; a long-running cluster worker may have older code."""


class Plan:
    """Assignment of the trainable persons to shards, grouped by image, in the order of the annotations.

    Args:
        table: annotations of the split.
        canvas_wh: width and height of a rendering in pixels.
        variants: occluded renderings of each person.
        shard_mb: approximate megabytes of a shard; small sets have smaller ones, `MIN_SHARDS` of them.

    Attributes:
        canvas_wh, variants: as given.
        files: file names of the shards.
        counts: number of persons in each shard, which differ by one at most.
    """

    def __init__(self, table: pa.Table, canvas_wh: tuple[int, int], variants: int, shard_mb: float):
        self.canvas_wh, self.variants = canvas_wh, variants
        images = _image_numbers(table)
        order = np.argsort(images, kind="stable")
        self._table, self._images = table.take(order), images[order]
        self._starts = np.unique(self._images, return_index=True)[1]
        # In slices: all annotations as objects at once would take more memory than the table.
        slices = (self._table.slice(start, 1000) for start in range(0, len(table), 1000))
        targets = np.flatnonzero([is_trainable(person) for part in slices for person in table_to_annotations(part)])
        per_shard = max(int(shard_mb * 1e6 / person_bytes(canvas_wh, variants)), 1)
        count = max(-(-len(targets) // per_shard), min(len(targets), MIN_SHARDS))
        self._targets = np.array_split(targets, count) if count else []
        self.counts = [len(part) for part in self._targets]
        self.files = [f"train-{number:05d}.arrow" for number in range(count)]

    def annotations(self, shard: int) -> tuple[pa.Table, Int[np.ndarray, " T"]]:
        """All annotations of a shard's images, and the row numbers of the persons that the shard contains."""
        targets, images = self._targets[shard], self._images
        first = int(np.searchsorted(images, images[targets[0]]))
        last = int(np.searchsorted(images, images[targets[-1]], side="right"))
        return self._table.take(np.arange(first, last)), targets - first

    def other_images(self, table: pa.Table, seed: int) -> dict[str, str]:
        """Path of a random image of the split for each image of `table`, seeded by the image's id; may be the same."""
        ids = dict(zip(table["image_path"].to_pylist(), table["image_id"].to_pylist()))
        paths = self._table["image_path"]
        drawn = {path: np.random.default_rng((seed, id_)).integers(len(self._starts)) for path, id_ in ids.items()}
        return {path: paths[int(self._starts[number])].as_py() for path, number in drawn.items()}


def person_bytes(canvas_wh: tuple[int, int], variants: int) -> int:
    """Size of a person's renderings in a shard; labels are small beside the pixels and not counted."""
    width, height = canvas_wh
    return (variants + 1) * (3 * width * height + width * height // IGNORE_STRIDE**2)


def _image_numbers(table: pa.Table) -> Int[np.ndarray, " N"]:
    """Number of each annotation's image, in the order of the images' first annotations."""
    return table["image_path"].combine_chunks().dictionary_encode().indices.to_numpy()


def render_shard(
    path: Path,
    table: pa.Table,
    targets: Int[np.ndarray, " T"],
    other_images: dict[str, str],
    *,
    root: Path,
    pool_path: Path | None,
    render: dict[str, Any],
    key: str,
    made_by: dict[str, str],
) -> dict[str, Any]:
    """Render and write one shard, then its note, each atomically; returns the shard's entry in the manifest.

    Args:
        path: the shard.
        table, targets: see `Plan.annotations`.
        other_images: see `Plan.other_images`.
        root: data root of the images.
        pool_path: the pool file; None without instance paste.
        render: the keywords of `render_person`.
        key: hash of all that determines the shards; the note has it, so that a later run can keep the shard.
        made_by: `MADE_BY` of the process that divides the work.

    Raises:
        UserError: an unreadable image, too little disk space, or a worker with other code than the dividing process.
    """
    if made_by != MADE_BY:
        do = "restart the cluster's workers, with the same versions everywhere"
        raise UserError("a worker has other code or libraries", expected=made_by, got=MADE_BY, do=do)
    persons, pool = table_to_annotations(table), Pool(pool_path) if pool_path else ()
    try:
        entry = write_shard(path, _render(persons, set(targets.tolist()), other_images, root, pool, render))
        with shared_file(note_path(path)) as note:
            note.write_text(json.dumps({"key": key, "shard": entry}))
        return entry
    except OSError as error:
        size = len(targets) * person_bytes(render["canvas_wh"], render["variants"])
        raise _no_space(path, size, error) from None


def note_path(shard: Path) -> Path:
    """Path of a shard's note, which exists while the cache is written: key and manifest entry."""
    return shard.with_name(f"{shard.name}.json")


def check_free_space(folder: Path, size: int) -> None:
    """Raise a UserError if the disk of `folder` has less than `size` bytes free."""
    if size > shutil.disk_usage(folder).free:
        raise _no_space(folder, size, "the cache does not fit")


def _no_space(path: Path, size: int, why: object) -> UserError:
    free = shutil.disk_usage(path.parent).free
    do = "free disk space, or lower cache.variants"
    return UserError("cannot write", where=path, expected=f"{size} bytes", got=f"{free} bytes free ({why})", do=do)


def _render(
    persons: Sequence[PersonAnnotation],
    targets: set[int],
    other_images: dict[str, str],
    root: Path,
    pool: Pool | Sequence[Any],
    render: dict[str, Any],
) -> Iterator[list[Crop]]:
    """Renderings of each target, in the order of `persons`; each image is read once."""
    for path, group in groupby(enumerate(persons), key=lambda entry: entry[1].image_path):
        numbered = list(group)
        image_targets = [person for number, person in numbered if number in targets]
        if not image_targets:
            continue
        image, members = read_image(root, path), [person for _, person in numbered]
        other_path = other_images[path] if render["mask"]["p"] else path
        other_image = None if other_path == path else read_image(root, other_path)
        unlabelled = unlabelled_region(members)
        for target in image_targets:
            others = [person for person in members if person is not target]
            yield render_person(image, target, others, pool, unlabelled=unlabelled, other_image=other_image, **render)
