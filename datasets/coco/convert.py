"""Stage `convert` for COCO 2017 person keypoints: official files to validated person rows."""

from pathlib import Path

from dag.data.convert import Split, convert_coco
from dag.params import load_params
from dag.person import Source
from dag.skeleton import COCO17
from dag.stage import run


def convert(root: Path, annotations: Path, out: Path, photographs: Path, report: Path, images: bool = True) -> None:
    """Check COCO's people and write them as rows."""
    params = load_params()
    splits = [
        Split(split, annotations / f"person_keypoints_{split}2017.json", f"{split}2017") for split in ("train", "val")
    ]
    convert_coco(
        root,
        splits,
        dataset="coco",
        skeleton=COCO17,
        source=Source.ANNOTATED,
        bad_rows=params.convert.bad_rows,
        workers=params.engine.workers,
        images=images,
        out=out,
        photographs=photographs,
        report=report,
        unannotated=[Split("test-dev", annotations / "image_info_test-dev2017.json", "test2017")],
    )


if __name__ == "__main__":
    run(convert)
