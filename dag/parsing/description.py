"""What a human parser is, described by a small yaml file (presets/parsers/*.yaml)."""

import hashlib
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError
from ruamel.yaml import YAML, YAMLError

from dag.errors import UserError
from dag.params import Block, Count

Triple = Annotated[list[float], Field(min_length=3, max_length=3)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Labels = Annotated[list[str], Field(min_length=1, max_length=254)]


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


class MasksDescription(Block):
    """The data set's own instance masks: no network."""

    kind: Literal["masks"]


class OnnxDescription(Block):
    """An ONNX network.

    Attributes:
        file: the network; `$NAME` is taken from the environment, other names are beside the yaml.
        sha256: its hash: a pool is made by one network, not by whatever lies under its name.
        labels: a name a part, in the order of the channels.
    """

    kind: Literal["onnx"]
    file: str
    sha256: Sha256
    input: InputRule
    output: OutputRule
    labels: Labels


class Ce2pDescription(Block):
    """A CE2P or SCHP network in torch.

    Attributes:
        file, labels: as of an ONNX network; the background, channel 0, is not among the labels.
        sha256: its hash; null takes whatever lies there (it is read safely).
        backbone: key of `dag.parsing.ce2p.BACKBONES`; SCHP's is resnet101.
    """

    kind: Literal["ce2p"]
    file: str
    sha256: Sha256 | None
    backbone: str
    input: InputRule
    labels: Labels


Description = Annotated[MasksDescription | OnnxDescription | Ce2pDescription, Field(discriminator="kind")]


def read_description(path: str | Path) -> MasksDescription | OnnxDescription | Ce2pDescription:
    """Read and check a parser's yaml.

    Raises:
        UserError: missing, not yaml, or with missing, unknown or wrong keys; all faults at once.
    """
    try:
        return TypeAdapter(Description).validate_python(YAML(typ="safe", pure=True).load(Path(path).read_text()))
    except OSError as error:
        do = "set pool.parser to a file of presets/parsers or to a trained parser"
        raise UserError("no such parser", where=path, got=error.strerror, do=do) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError("not yaml", where=path, got=error) from None
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, f['loc'])) or 'the file'}: {f['msg']}" for f in error.errors())
        raise UserError("; ".join(faults), where=path) from None


def network_file(file: str, sha256: str | None, where: str | Path) -> Path:
    """The file that a description `where` names, after its hash was compared.

    Raises:
        UserError: an unset environment variable, a missing file, or one with another hash.
    """
    path = Path(where).parent / os.path.expandvars(file)
    if "$" in str(path):
        variable = str(path).split("$")[1].split("/")[0].strip("{}")
        raise UserError("environment variable is not set", where=where, got=file, do=f"export {variable}=FOLDER")
    if not path.is_file():
        raise UserError("no such network", where=where, expected="a file of weights", got=path)
    if sha256 is not None:
        with path.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        if found != sha256:
            do = "fetch it again, or write its hash into the yaml if it is the one you mean"
            raise UserError("another network", where=path, expected=f"sha256 {sha256}", got=found, do=do)
    return path
