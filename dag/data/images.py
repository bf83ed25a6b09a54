"""Reading photographs as they are stored."""

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
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise UserError("missing or unreadable image", where=path, do="check the data root and fetch the file again")
    return image
