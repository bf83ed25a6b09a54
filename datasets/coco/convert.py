"""Stage `convert` for COCO 2017 person keypoints: official files to validated annotations."""

from pathlib import Path

from dag.annotation import Source
from dag.convert.convert import Split, convert_coco
from dag.params import load_params
from dag.skeleton import COCO17
from dag.stage import run


def convert(root: Path, annotations: Path, out: Path, images: Path, report: Path, check_images: bool = True) -> None:
    """Validate the annotations of train, val and (images only) test-dev and write them."""
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
        invalid_annotations=params.convert.invalid_annotations,
        workers=params.engine.workers,
        check_images=check_images,
        out=out,
        images=images,
        report=report,
        unannotated=[Split("test-dev", annotations / "image_info_test-dev2017.json", "test2017")],
    )


if __name__ == "__main__":
    run(convert)
