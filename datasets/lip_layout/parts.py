"""Stage `parts` for LIP and CIHP: images and label PNGs to one table of label maps."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from dag.errors import UserError
from dag.params import load_params
from dag.parsing.convert import Source, convert_label_maps, split_by_name
from dag.parsing.labels import LIP
from dag.stage import run

LIP_LAYOUTS = (  # the archive has two nested folders of the same name; many users have only one
    ("TrainVal_images/TrainVal_images/{split}_images", "{split}_segmentations"),
    ("TrainVal_images/{split}_images", "{split}_segmentations"),
)
CIHP_LAYOUT = ("{Split}/Images", "{Split}/Category_ids")


def parts(root: Path, labels: Path, out: Path, report: Path) -> None:
    """Write the label maps below LABELS of the images below ROOT, in any of the three layouts."""
    nested, flat = LIP_LAYOUTS
    lip = nested if (root / "TrainVal_images/TrainVal_images").is_dir() else flat
    sources = _official(root, labels, lip) or _official(root, labels.parent, CIHP_LAYOUT) or _plain(root, labels)
    if not sources:
        expected = "*.png, or {train,val}_segmentations/*.png, or {Training,Validation}/Category_ids/*.png"
        raise UserError("no label maps", where=labels, expected=expected, got="none")
    convert_label_maps(
        root,
        sources,
        read_labels,
        dataset="lip_layout",
        labels=LIP,
        complete=lambda label_map: None,
        invalid_annotations=load_params().convert.invalid_annotations,
        out=out,
        report=report,
    )


def _official(root: Path, labels: Path, layout: tuple[str, str]) -> list[Source]:
    sources = []
    for split, folder in (("train", "Training"), ("val", "Validation")):
        images, maps = (part.format(split=split, Split=folder) for part in layout)
        sources += [Source(split, f"{images}/{path.stem}.jpg", path) for path in sorted((labels / maps).glob("*.png"))]
    return sources


def _plain(root: Path, labels: Path) -> list[Source]:
    """Sources without an official split, see `split_by_name`."""
    files = {path.stem: path for path in labels.glob("*.png")}
    splits = split_by_name(list(files))
    return [Source(splits[name], f"images/{name}.jpg", files[name]) for name in sorted(files)]


def read_labels(path: Path) -> UInt8[np.ndarray, "H W"]:
    """Read a grey or palette PNG; the palette's colours are ignored."""
    with Image.open(path) as image:
        if image.mode not in ("L", "P"):
            raise ValueError(f"expected a grey or palette PNG, got mode {image.mode}")
        return np.array(image, dtype=np.uint8)


if __name__ == "__main__":
    run(parts)
