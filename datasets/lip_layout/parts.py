"""Stage `parts` for LIP and CIHP: images and label PNGs to one table of label maps."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from dag.errors import UserError
from dag.params import load_params
from dag.parsing.convert import Source, convert_parts, split_by_name
from dag.parsing.labels import LIP
from dag.stage import run

LIP_LAYOUTS = (  # the archive holds its folder twice, and many people unpack it once
    ("TrainVal_images/TrainVal_images/{split}_images", "{split}_segmentations"),
    ("TrainVal_images/{split}_images", "{split}_segmentations"),
)
CIHP_LAYOUT = ("{Split}/Images", "{Split}/Category_ids")


def parts(root: Path, labels: Path, out: Path, report: Path) -> None:
    """Collect the label maps below LABELS with the images below ROOT, in any of the three layouts."""
    twice, once = LIP_LAYOUTS
    lip = twice if (root / "TrainVal_images/TrainVal_images").is_dir() else once
    sources = _official(root, labels, lip) or _official(root, labels.parent, CIHP_LAYOUT) or _plain(root, labels)
    if not sources:
        expected = "*.png, or {train,val}_segmentations/*.png, or {Training,Validation}/Category_ids/*.png"
        raise UserError("no label maps", where=labels, expected=expected, got="none")
    convert_parts(
        root,
        sources,
        read_labels,
        dataset="lip_layout",
        labels=LIP,
        complete=lambda found: None,
        invalid_annotations=load_params().convert.invalid_annotations,
        out=out,
        report=report,
    )


def _official(root: Path, labels: Path, layout: tuple[str, str]) -> list[Source]:
    found = []
    for split, folder in (("train", "Training"), ("val", "Validation")):
        images, maps = (part.format(split=split, Split=folder) for part in layout)
        found += [Source(split, f"{images}/{path.stem}.jpg", path) for path in sorted((labels / maps).glob("*.png"))]
    return found


def _plain(root: Path, labels: Path) -> list[Source]:
    """No official split: see `split_by_name`."""
    files = {path.stem: path for path in labels.glob("*.png")}
    splits = split_by_name(list(files))
    return [Source(splits[name], f"images/{name}.jpg", files[name]) for name in sorted(files)]


def read_labels(path: Path) -> UInt8[np.ndarray, "H W"]:
    """Numbers of a grey or palette PNG: a palette's colours mean nothing."""
    with Image.open(path) as picture:
        if picture.mode not in ("L", "P"):
            raise ValueError(f"expected a grey or palette PNG, got mode {picture.mode}")
        return np.array(picture, dtype=np.uint8)


if __name__ == "__main__":
    run(parts)
