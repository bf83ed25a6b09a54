"""The instance pool: persons cut out of images, in one memory-mapped Arrow file."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int8, UInt8

from dag.annotation import table_skeleton
from dag.errors import UserError
from dag.files import whole_file
from dag.skeleton import Skeleton


@dataclass(frozen=True, eq=False)
class Cutout:
    """A person cut out of an image, with soft edges.

    Attributes:
        person_id: annotation id.
        image_path: image of the person, relative to the data root.
        rgba: RGB, not premultiplied, and alpha.
        parts: 0 outside the person, else 1 + the index of the part in the parser's labels.
        keypoints_xy: pixels of the cut-out, pixel-index frame; 0, 0 where unlabelled.
        visibility: `Visibility` numbers.
    """

    person_id: int
    image_path: str
    rgba: UInt8[np.ndarray, "H W 4"]
    parts: UInt8[np.ndarray, "H W"]
    keypoints_xy: Float[np.ndarray, "J 2"]
    visibility: Int8[np.ndarray, " J"]


def _schema(skeleton: Skeleton) -> pa.Schema:
    fields = [
        ("person_id", pa.int64()),
        ("image_path", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("rgba", pa.binary()),
        ("parts", pa.binary()),
        ("keypoints_xy", pa.list_(pa.float64(), 2 * len(skeleton))),
        ("visibility", pa.list_(pa.int8(), len(skeleton))),
    ]
    return pa.schema(fields, metadata={"dag.skeleton": skeleton.text})


def write_pool(
    path: str | Path, cutouts: Iterable[Cutout], skeleton: Skeleton, rejected: Mapping[str, int] | None = None
) -> None:
    """Write a pool file atomically, cut-out after cut-out in the order given.

    Args:
        path: the pool file.
        cutouts: accepted cut-outs.
        skeleton: joints of all cut-outs.
        rejected: number of rejected persons by reason; read after the last cut-out.
    """
    schema = _schema(skeleton)
    with whole_file(path) as partial, pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for cutout in cutouts:
            height, width = cutout.parts.shape
            row = {
                "person_id": [cutout.person_id],
                "image_path": [cutout.image_path],
                "height": [height],
                "width": [width],
                "rgba": [cutout.rgba.tobytes()],
                "parts": [cutout.parts.tobytes()],
                "keypoints_xy": [cutout.keypoints_xy.ravel()],
                "visibility": [cutout.visibility],
            }
            writer.write_batch(pa.record_batch(row, schema=schema))
        # Rejections are counted while the cut-outs are generated, so the metadata of a last, empty batch holds them.
        counts = json.dumps({reason: int(count) for reason, count in (rejected or {}).items()})
        empty = pa.RecordBatch.from_pylist([], schema=schema)
        writer.write_batch(empty, custom_metadata={"dag.rejected": counts})


class Pool:
    """A pool file as a read-only, memory-mapped sequence of `Cutout`.

    Attributes:
        path: the file.
        skeleton: joints of all cut-outs.
        rejected: number of rejected persons by reason.

    Raises:
        UserError: the file is missing or is not a pool.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        do = "run `dvc repro pool`"
        try:
            self._reader = pa.ipc.open_file(pa.memory_map(str(path)))
            last = self._reader.get_batch_with_custom_metadata(self._reader.num_record_batches - 1)
        except (OSError, ValueError) as error:
            raise UserError("not a pool", where=path, got=error, do=do) from None
        metadata = last.custom_metadata or {}
        if b"dag.rejected" not in metadata:
            raise UserError("not a pool", where=path, expected="rejection counts", got="none", do=do)
        self.rejected: dict[str, int] = json.loads(metadata[b"dag.rejected"])
        self.skeleton = table_skeleton(self._reader, path)

    def __reduce__(self) -> tuple[type["Pool"], tuple[Path]]:
        """Pickle the path: worker processes open the file again."""
        return Pool, (self.path,)

    def __len__(self) -> int:
        return self._reader.num_record_batches - 1

    def __getitem__(self, index: int) -> Cutout:
        if not 0 <= index < len(self):
            raise IndexError(index)
        row = self._reader.get_batch(index)
        height, width = row["height"][0].as_py(), row["width"][0].as_py()
        return Cutout(
            person_id=row["person_id"][0].as_py(),
            image_path=row["image_path"][0].as_py(),
            rgba=np.frombuffer(row["rgba"][0].as_buffer(), np.uint8).reshape(height, width, 4),
            parts=np.frombuffer(row["parts"][0].as_buffer(), np.uint8).reshape(height, width),
            keypoints_xy=np.array(row["keypoints_xy"][0].as_py()).reshape(-1, 2),
            visibility=np.array(row["visibility"][0].as_py(), dtype=np.int8),
        )

    def __iter__(self) -> Iterator[Cutout]:
        return (self[index] for index in range(len(self)))
