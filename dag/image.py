"""Images: the image table of a data set (images without persons included), reading and hashing."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import UInt8

from dag.errors import UserError
from dag.files import inside, whole_file

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""ImageNet's mean and standard deviation of RGB in 0-1, with which published backbones were trained."""

SCHEMA = pa.schema([("split", pa.string()), ("image_id", pa.int64()), ("image_path", pa.string())])


@dataclass(frozen=True)
class ImageRecord:
    """An image of a data set.

    Attributes:
        split: e.g. "val".
        image_id: id of the image in its data set.
        image_path: relative to the data root.
    """

    split: str
    image_id: int
    image_path: str


def write_image_table(path: str | Path, images: Sequence[ImageRecord]) -> None:
    """Write the image table as parquet, atomically: sorted by split and id, without duplicates."""
    rows = sorted(set(images), key=lambda image: (image.split, image.image_id))
    with whole_file(path) as partial:
        pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema=SCHEMA), partial, compression="zstd")


def read_image_table(path: str | Path, split: str | None = None) -> list[ImageRecord]:
    """Read the images of one split, or of all splits.

    Raises:
        UserError: missing file, not a table of images, or no images of this split.
    """
    try:
        rows = pq.read_table(path, schema=SCHEMA).to_pylist()
    except (FileNotFoundError, pa.ArrowInvalid) as error:
        raise UserError("not a table of images", where=path, got=error, do="run `dvc repro convert`") from None
    images = [ImageRecord(**row) for row in rows if split in (None, row["split"])]
    if not images:
        known = ", ".join(sorted({row["split"] for row in rows}))
        raise UserError("no images of this split", where=path, expected=f"one of {known}", got=repr(split))
    return images


def read_image(root: str | Path, image_path: str) -> UInt8[np.ndarray, "H W 3"]:
    """Read an image as RGB. EXIF orientation is ignored, as COCO's annotations ignore it.

    Raises:
        UserError: the path leaves `root`, or the file is missing or not an image.
    """
    path = inside(root, image_path)
    try:
        # imread reads files in small blocks, which costs 5 % of the time per image.
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    except (OSError, cv2.error):  # cv2.error: an empty file
        image = None
    if image is None:
        raise UserError("missing or unreadable image", where=path, do="check the data root and fetch the file again")
    return image


def file_hash(path: str | Path) -> str:
    """BLAKE2b hash of an image file, 32 hexadecimal digits. Files with the same hash are duplicates."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
