"""One photograph = one row of a table: where it lies, also if nobody is on it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dag.errors import UserError
from dag.files import whole_file

SCHEMA = pa.schema([("split", pa.string()), ("image_id", pa.int64()), ("image_path", pa.string())])


@dataclass(frozen=True)
class Photograph:
    """A photograph of a data set.

    Attributes:
        split: e.g. "val".
        image_id: the data set's number of it.
        image_path: relative to the data root.
    """

    split: str
    image_id: int
    image_path: str


def write_photographs(path: str | Path, photographs: Sequence[Photograph]) -> None:
    """Write photographs as parquet, whole or not at all, by split and number; each once."""
    rows = sorted(set(photographs), key=lambda photograph: (photograph.split, photograph.image_id))
    with whole_file(path) as partial:
        pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema=SCHEMA), partial, compression="zstd")


def read_photographs(path: str | Path, split: str | None = None) -> list[Photograph]:
    """The photographs of one split, or all.

    Raises:
        UserError: missing file, no such table, or a split without photographs.
    """
    try:
        rows = pq.read_table(path, schema=SCHEMA).to_pylist()
    except (FileNotFoundError, pa.ArrowInvalid) as error:
        raise UserError("not a table of photographs", where=path, got=error, do="run `dvc repro convert`") from None
    found = [Photograph(**row) for row in rows if split in (None, row["split"])]
    if not found:
        known = ", ".join(sorted({row["split"] for row in rows}))
        raise UserError("no photographs of this split", where=path, expected=f"one of {known}", got=repr(split))
    return found
