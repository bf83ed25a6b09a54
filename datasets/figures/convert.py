"""Stage `convert` for rendered people: the files of render.py to validated person rows."""

from pathlib import Path

from dag.data.convert import Split, convert_coco
from dag.params import load_params
from dag.person import Source
from dag.skeleton import COCO17
from dag.stage import run


def convert(root: Path, annotations: Path, out: Path, photographs: Path, report: Path, images: bool = True) -> None:
    """Check rendered people and write them as rows."""
    params = load_params()
    splits = [Split(split, annotations / f"person_keypoints_{split}.json", split) for split in ("train", "val")]
    convert_coco(
        root,
        splits,
        dataset="figures",
        skeleton=COCO17,
        source=Source.RENDERED,
        bad_rows=params.convert.bad_rows,
        workers=params.engine.workers,
        images=images,
        out=out,
        photographs=photographs,
        report=report,
    )


if __name__ == "__main__":
    run(convert)
