"""Files of the crop cache: a folder of Arrow shards and a manifest.

Each record batch of a shard is one person; its rows are the renderings (row 0 clean, the others occluded).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int8, UInt8

from dag.errors import UserError
from dag.files import inside, read_json, sha256, shared_file
from dag.skeleton import Skeleton, get_skeleton

MANIFEST = "manifest.json"

IGNORE_STRIDE = 4
"""Side, in canvas pixels, of the blocks for which `Crop.ignore` has one value: the stride of the heatmaps."""

REPRODUCE = "run `dvc repro cache`"

SCHEMA = pa.schema(
    [
        ("person_id", pa.int64()),
        ("variant", pa.int32()),
        ("image", pa.binary()),
        ("canvas_from_image", pa.list_(pa.float64(), 6)),
        ("keypoints_xy", pa.list_(pa.float32())),
        ("visibility", pa.list_(pa.int8())),
        ("occluder", pa.list_(pa.int8())),
        ("ignore", pa.binary()),
    ]
)


@dataclass(frozen=True, eq=False)
class Crop:
    """One rendering of one person, on a canvas larger than the network's input, which lies in its middle.

    Attributes:
        person_id: annotation id of the target.
        variant: 0 is the clean rendering, the others are occluded.
        image: RGB.
        canvas_from_image: affine map from image to canvas pixels.
        keypoints_xy: joints of all P labelled persons in the canvas, the target first; canvas pixels, 0, 0 where
            unlabelled.
        visibility, occluder: `Visibility`, `Occluder` numbers.
        ignore: 1 where crowds and persons without labels are, one value per `IGNORE_STRIDE` x `IGNORE_STRIDE` pixels.
    """

    person_id: int
    variant: int
    image: UInt8[np.ndarray, "Hc Wc 3"]
    canvas_from_image: Float[np.ndarray, "2 3"]
    keypoints_xy: Float[np.ndarray, "P J 2"]
    visibility: Int8[np.ndarray, "P J"]
    occluder: Int8[np.ndarray, "P J"]
    ignore: UInt8[np.ndarray, "hc wc"]


def write_shard(path: Path, persons: Iterable[list[Crop]]) -> dict[str, Any]:
    """Write the renderings of persons, in the order given, atomically.

    Returns:
        The shard's entry in the manifest: file, instances, bytes, sha256.

    Raises:
        OSError: the disk is full.
    """
    count = 0
    with shared_file(path) as partial:
        with pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
            for crops in persons:
                writer.write_batch(_batch(crops))
                count += 1
        return {"file": path.name, "instances": count, "bytes": partial.stat().st_size, "sha256": sha256(partial)}


def is_intact(folder: Path, entry: dict[str, Any]) -> bool:
    """Whether a shard exists and has the size and hash of its entry."""
    path = inside(folder, entry["file"])
    return path.is_file() and path.stat().st_size == entry["bytes"] and sha256(path) == entry["sha256"]


def check_shards(folder: str | Path) -> None:
    """Verify size and hash of every shard.

    Raises:
        UserError: no cache, or missing or damaged shards, which are listed.
    """
    entries = read_json(Path(folder) / MANIFEST)["shards"]
    damaged = [entry["file"] for entry in entries if not is_intact(Path(folder), entry)]
    if damaged:
        raise UserError("missing or damaged shards", where=folder, got=", ".join(damaged), do=REPRODUCE)


def _batch(crops: list[Crop]) -> pa.RecordBatch:
    columns = {
        "person_id": [crop.person_id for crop in crops],
        "variant": [crop.variant for crop in crops],
        "image": [crop.image.tobytes() for crop in crops],
        "canvas_from_image": [crop.canvas_from_image.ravel() for crop in crops],
        "keypoints_xy": [crop.keypoints_xy.astype(np.float32).ravel() for crop in crops],
        "visibility": [crop.visibility.ravel() for crop in crops],
        "occluder": [crop.occluder.ravel() for crop in crops],
        "ignore": [crop.ignore.tobytes() for crop in crops],
    }
    return pa.record_batch(columns, schema=SCHEMA)


class Shards:
    """A memory-mapped crop cache, read lazily. Can be pickled and survives a fork.

    Attributes:
        manifest: as written by `dag.cache.build.write_cache`.
        skeleton: joints and their order.
        input_wh, canvas_wh: network input and canvas, width and height in pixels.
        variants: occluded renderings of each person.

    Raises:
        UserError: no manifest, or (when it is first read) a shard that is missing, damaged or of another cache.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.manifest = read_json(self.folder / MANIFEST)
        self.skeleton: Skeleton = get_skeleton(self.manifest["skeleton"])
        self.input_wh: tuple[int, int] = tuple(self.manifest["input_wh"])
        self.canvas_wh: tuple[int, int] = tuple(self.manifest["canvas_wh"])
        self.variants: int = self.manifest["variants"]
        self._starts = np.cumsum([0] + [shard["instances"] for shard in self.manifest["shards"]])
        self._readers: dict[int, pa.ipc.RecordBatchFileReader] = {}
        self._last: tuple[int, pa.RecordBatch] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_readers": {}, "_last": None}

    def __len__(self) -> int:
        return int(self._starts[-1])

    def person_id(self, index: int) -> int:
        """Annotation id of a person."""
        return self._record(index)["person_id"][0].as_py()

    def crop(self, index: int, variant: int) -> Crop:
        """A rendering of a person; its arrays are read-only views of the file."""
        record = self._record(index)
        width, height = self.canvas_wh
        joints = len(self.skeleton)

        def numbers(name: str) -> np.ndarray:
            return record[name][variant].values.to_numpy()

        def pixels(name: str, *shape: int) -> np.ndarray:
            # All values of a column have the same length. Reading one as a scalar would copy it.
            return np.frombuffer(record[name].buffers()[2], np.uint8).reshape(-1, *shape)[variant]

        return Crop(
            person_id=record["person_id"][variant].as_py(),
            variant=record["variant"][variant].as_py(),
            image=pixels("image", height, width, 3),
            canvas_from_image=numbers("canvas_from_image").reshape(2, 3),
            keypoints_xy=numbers("keypoints_xy").reshape(-1, joints, 2),
            visibility=numbers("visibility").reshape(-1, joints),
            occluder=numbers("occluder").reshape(-1, joints),
            ignore=pixels("ignore", height // IGNORE_STRIDE, width // IGNORE_STRIDE),
        )

    def _record(self, index: int) -> pa.RecordBatch:
        if self._last is not None and self._last[0] == index:
            return self._last[1]
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = int(self._starts.searchsorted(index, side="right")) - 1
        if number not in self._readers:
            self._readers[number] = self._open(self.manifest["shards"][number])
        try:
            record = self._readers[number].get_batch(index - int(self._starts[number]))
        except (OSError, pa.ArrowInvalid) as error:
            path = self.folder / self.manifest["shards"][number]["file"]
            raise UserError("missing or damaged shard", where=path, got=error, do=REPRODUCE) from None
        self._last = (index, record)
        return record

    def _open(self, shard: dict[str, Any]) -> pa.ipc.RecordBatchFileReader:
        path = inside(self.folder, shard["file"])
        try:
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            actual = path.stat().st_size, reader.num_record_batches
        except (OSError, pa.ArrowInvalid) as error:
            raise UserError("missing or damaged shard", where=path, got=error, do=REPRODUCE) from None
        expected = shard["bytes"], shard["instances"]
        if actual != expected:
            texts = [f"{size} bytes and {count} instances" for size, count in (expected, actual)]
            raise UserError("shard of another cache", where=path, expected=texts[0], got=texts[1], do=REPRODUCE)
        return reader
