"""Stage `parts` of the synthetic data set: the part maps of render.py to a table of label maps."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from dag.params import load_params
from dag.parsing.convert import Source, convert_label_maps
from dag.parsing.labels import SYNTHETIC
from dag.stage import run


def parts(root: Path, labels: Path, out: Path, report: Path) -> None:
    """Collect `LABELS/<split>/<name>.png` with the images `ROOT/<split>/<name>.jpg`."""
    files = [path for split in ("train", "val") for path in sorted((labels / split).glob("*.png"))]
    convert_label_maps(
        root,
        [Source(path.parent.name, f"{path.parent.name}/{path.stem}.jpg", path) for path in files],
        read_labels,
        dataset="synthetic",
        labels=SYNTHETIC,
        complete=lambda _: None,
        invalid_annotations=load_params().convert.invalid_annotations,
        out=out,
        report=report,
    )


def read_labels(path: Path) -> UInt8[np.ndarray, "H W"]:
    """Label per pixel of a grey PNG."""
    with Image.open(path) as image:
        return np.array(image, dtype=np.uint8)


if __name__ == "__main__":
    run(parts)
