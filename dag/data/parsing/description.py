"""A human-parsing network in ONNX form, described by a small yaml file."""

import hashlib
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError
from ruamel.yaml import YAML, YAMLError

from dag.errors import UserError
from dag.params import Block, Count

Triple = Annotated[list[float], Field(min_length=3, max_length=3)]


class InputRule(Block):
    """What goes in: 1 x 3 x height x width.

    Attributes:
        long_side: pixels that a person's padded box is enlarged or reduced to.
        multiple, plus: sides are `multiple * k + plus`.
        square: both sides are as long as the long one (networks of fixed size).
        order: of the colour channels.
        mean, std: of grey levels 0-255: the network sees `(grey - mean) / std`, channels in `order`.
    """

    long_side: Annotated[int, Field(ge=16)]
    multiple: Count
    plus: Annotated[int, Field(ge=0)]
    square: bool
    order: Literal["rgb", "bgr"]
    mean: Triple
    std: Triple


class OutputRule(Block):
    """What comes out.

    Attributes:
        parts: name of the output with a channel of scores a part; the largest wins.
        person: name of the output with one channel, person or not, before the sigmoid; null where `parts` has a
            first channel for the background instead (it is then not among the labels).
        threshold: of the sigmoid of `person`.
        samples: where scores lie: `corners` (the first and last sample on the first and last pixel, TensorFlow) or
            `centers` (each in the middle of its block of pixels).
    """

    parts: str
    person: str | None
    threshold: Annotated[float, Field(gt=0, lt=1)]
    samples: Literal["corners", "centers"]


class Description(Block):
    """A parser file (presets/parsers/*.yaml).

    Attributes:
        file: the ONNX file; `$NAME` is taken from the environment.
        sha256: its hash: a pool is made by one network, not by whatever lies under its name.
        labels: a name a part, in the order of the channels.
    """

    file: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    input: InputRule
    output: OutputRule
    labels: Annotated[list[str], Field(min_length=1, max_length=254)]


def read_description(path: str | Path) -> Description:
    """Read and check a parser's yaml.

    Raises:
        UserError: missing, not yaml, or with missing, unknown or wrong keys; all faults at once.
    """
    try:
        return Description.model_validate(YAML(typ="safe", pure=True).load(Path(path).read_text()))
    except OSError as error:
        do = "set pool.parser to masks or to a file of presets/parsers"
        raise UserError("no such parser", where=path, got=error.strerror, do=do) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError("not yaml", where=path, got=error) from None
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, f['loc'])) or 'the file'}: {f['msg']}" for f in error.errors())
        raise UserError("; ".join(faults), where=path) from None


def network_file(description: Description, where: str | Path) -> Path:
    """The ONNX file that a description names, after its hash was compared.

    Raises:
        UserError: an unset environment variable, a missing file, or one with another hash.
    """
    path = Path(os.path.expandvars(description.file))
    if "$" in str(path):
        variable = str(path).split("$")[1].split("/")[0].strip("{}")
        raise UserError("environment variable is not set", where=where, got=path, do=f"export {variable}=FOLDER")
    if not path.is_file():
        raise UserError("no such network", where=where, expected="an ONNX file", got=path)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != description.sha256:
        do = "fetch it again, or write its hash into the yaml if it is the one you mean"
        raise UserError("another network", where=path, expected=f"sha256 {description.sha256}", got=found, do=do)
    return path
