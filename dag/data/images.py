"""Reading photographs as they are stored."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from dag.errors import UserError
from dag.files import inside


def read_image(root: str | Path, image_path: str) -> UInt8[np.ndarray, "H W 3"]:
    """Read a photograph as RGB. EXIF orientation is ignored, as COCO's annotations ignore it.

    Raises:
        UserError: the file leaves `root`, is missing, or is not a picture.
    """
    path = inside(root, image_path)
    try:
        # From memory: imread reads files in small pieces, which costs a twentieth of a photograph's time.
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    except (OSError, cv2.error):  # cv2.error: an empty file
        image = None
    if image is None:
        raise UserError("missing or unreadable image", where=path, do="check the data root and fetch the file again")
    return image


def file_hash(path: str | Path) -> str:
    """BLAKE2 of a photograph's bytes, 32 hexadecimal digits: two files with one hash are one photograph."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
