"""Stage `convert` for rendered people: the files of render.py to validated person rows."""

from pathlib import Path

from dag.data.convert import convert_coco
from dag.params import load_params
from dag.person import Source
from dag.skeleton import COCO17
from dag.stage import run

SPLITS = {split: (f"annotations/person_keypoints_{split}.json", split) for split in ("train", "val")}


def convert(
    root: Path,
    out: Path,
    report: Path,
) -> None:
    """Check rendered people and write them as rows."""
    params = load_params()
    convert_coco(
        root,
        SPLITS,
        dataset="figures",
        skeleton=COCO17,
        source=Source.RENDERED,
        bad_rows=params.convert.bad_rows,
        workers=params.engine.workers,
        out=out,
        report=report,
    )


if __name__ == "__main__":
    run(convert)
