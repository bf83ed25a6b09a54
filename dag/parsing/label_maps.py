"""Tables of label maps of human parsing: a memory-mapped Arrow file with one image per row and its map as PNG."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from jaxtyping import UInt8

from dag.errors import UserError
from dag.files import whole_file

SCHEMA = pa.schema(
    [
        ("split", pa.string()),
        ("image_path", pa.string()),
        ("image_hash", pa.string()),
        ("label_map", pa.binary()),
    ]
)


@dataclass(frozen=True)
class LabelMap:
    """The label map of an image.

    Attributes:
        split: "train" or "val".
        image_path: image file, relative to the root of the data set.
        image_hash: `dag.image.file_hash` of the image, so that the table changes with the image.
        png: one 8-bit label per pixel of the image; `LabelMaps.labels` has the names.
    """

    split: str
    image_path: str
    image_hash: str
    png: bytes

    def decode(self) -> UInt8[np.ndarray, "H W"]:
        """Label of each pixel."""
        labels: Any = cv2.imdecode(np.frombuffer(self.png, np.uint8), cv2.IMREAD_UNCHANGED)
        return labels


def encode_labels(labels: UInt8[np.ndarray, "H W"]) -> bytes:
    """Labels as a PNG."""
    return cv2.imencode(".png", labels)[1].tobytes()


def write_label_maps(path: str | Path, rows: Iterable[LabelMap], *, dataset: str, labels: tuple[str, ...]) -> None:
    """Write label maps in the given order, atomically and without holding them in memory.

    Args:
        path: output file.
        rows: label maps.
        dataset: key of `parts` in params.yaml, which names the root.
        labels: names of the labels; the first is the background.
    """
    schema = SCHEMA.with_metadata({"dag.dataset": dataset, "dag.labels": json.dumps(labels)})
    with whole_file(path) as partial, pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for row in rows:
            columns = [[row.split], [row.image_path], [row.image_hash], [row.png]]
            writer.write_batch(pa.record_batch(columns, schema=schema))


class LabelMaps:
    """A table of label maps as a read-only sequence of `LabelMap`.

    Attributes:
        dataset: key of `parts` in params.yaml.
        labels: names of the labels; the first is the background.

    Raises:
        UserError: the file is missing or is not a table of label maps.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        try:
            self._reader = pa.ipc.open_file(pa.memory_map(str(path)))
        except (FileNotFoundError, pa.ArrowInvalid) as error:
            raise UserError("not a table of label maps", where=path, got=error, do="run `dvc repro parts`") from None
        metadata = self._reader.schema.metadata or {}
        if b"dag.labels" not in metadata:
            raise UserError("table without label names", where=path, do="run `dvc repro parts`")
        self.dataset = metadata[b"dag.dataset"].decode()
        self.labels: tuple[str, ...] = tuple(json.loads(metadata[b"dag.labels"]))

    def __len__(self) -> int:
        return self._reader.num_record_batches

    def __getitem__(self, index: int) -> LabelMap:
        if not 0 <= index < len(self):
            raise IndexError(index)
        row = self._reader.get_batch(index).to_pylist()[0]
        return LabelMap(row["split"], row["image_path"], row["image_hash"], row["label_map"])

    def __iter__(self) -> Iterator[LabelMap]:
        return (self[index] for index in range(len(self)))
