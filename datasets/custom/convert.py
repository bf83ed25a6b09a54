"""Stage `convert` for a user's data set in COCO's layout, with a skeleton described by dataset.yaml."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError
from ruamel.yaml import YAML, YAMLError

from dag.annotation import Source
from dag.convert.convert import Split, convert_coco
from dag.errors import UserError
from dag.params import Block, Name, Positive, load_params
from dag.skeleton import Skeleton
from dag.stage import run

Pair = Annotated[list[str], Field(min_length=2, max_length=2)]


class Files(Block):
    """Files of a split: the annotation file (beside dataset.yaml) and the folder of images (below the data root)."""

    annotations: str
    images: str


class Joints(Block):
    """Fields of `dag.skeleton.Skeleton`."""

    name: Name
    joints: Annotated[list[str], Field(min_length=2)]
    pairs: list[Pair]
    bones: list[Pair]
    sigmas: list[Positive]


class Description(Block):
    """Content of dataset.yaml."""

    splits: Annotated[dict[Name, Files], Field(min_length=1)]
    skeleton: Joints


def convert(root: Path, annotations: Path, out: Path, images: Path, report: Path, check_images: bool = True) -> None:
    """Validate the annotations that ANNOTATIONS/dataset.yaml describes and write them."""
    params = load_params()
    description = _read(annotations / "dataset.yaml")
    fields = description.skeleton.model_dump()
    pairs, bones = (tuple(map(tuple, fields[name])) for name in ("pairs", "bones"))
    convert_coco(
        root,
        [Split(name, annotations / files.annotations, files.images) for name, files in description.splits.items()],
        dataset="custom",
        skeleton=Skeleton(fields["name"], tuple(fields["joints"]), pairs, bones, tuple(fields["sigmas"])),  # type: ignore[arg-type]
        source=Source.ANNOTATED,
        invalid_annotations=params.convert.invalid_annotations,
        workers=params.engine.workers,
        check_images=check_images,
        out=out,
        images=images,
        report=report,
    )


def _read(path: Path) -> Description:
    try:
        return Description.model_validate(YAML(typ="safe", pure=True).load(path.read_text()))
    except OSError as error:
        do = "see datasets/custom/card.md"
        raise UserError("no description of the data set", where=path, got=error.strerror, do=do) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError("not yaml", where=path, got=error) from None
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, fault['loc'])) or 'the file'}: {fault['msg']}" for fault in error.errors())
        raise UserError("; ".join(faults), where=path) from None


if __name__ == "__main__":
    run(convert)
