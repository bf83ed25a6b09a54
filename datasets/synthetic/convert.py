"""Stage `convert` of the synthetic data set: the files of render.py to validated person annotations."""

from pathlib import Path

from dag.annotation import Source
from dag.convert.convert import Split, convert_coco
from dag.params import load_params
from dag.skeleton import COCO17
from dag.stage import run


def convert(root: Path, annotations: Path, out: Path, images: Path, report: Path, check_images: bool = True) -> None:
    """Validate the annotations of the rendered persons and write them as a table."""
    params = load_params()
    splits = [Split(split, annotations / f"person_keypoints_{split}.json", split) for split in ("train", "val")]
    convert_coco(
        root,
        splits,
        dataset="synthetic",
        skeleton=COCO17,
        source=Source.RENDERED,
        invalid_annotations=params.convert.invalid_annotations,
        workers=params.engine.workers,
        check_images=check_images,
        out=out,
        images=images,
        report=report,
    )


if __name__ == "__main__":
    run(convert)
