"""Descriptions of human parsers: the yaml files of presets/parsers and of trained parsers."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from dag.errors import UserError
from dag.files import sha256 as file_sha256
from dag.masks import HumanParser
from dag.params import Block, Count
from dag.skeleton import Skeleton

Triple = Annotated[list[float], Field(min_length=3, max_length=3)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Labels = Annotated[list[str], Field(min_length=1, max_length=254)]


class ParserDescription(Block):
    """Base of all descriptions; a subclass has the keys of its yaml file, with a constant `kind`."""

    def load(self, path: Path, skeleton: Skeleton) -> HumanParser:
        """The parser.

        Args:
            path: file of the description, for relative file names and errors.
            skeleton: of the annotations that will be parsed.

        Raises:
            UserError: the network is missing, has another hash or does not match its description.
        """
        raise NotImplementedError


class InputSpec(Block):
    """Input of a network: 1 x 3 x height x width.

    Attributes:
        long_side: input pixels along the longer side of a person's padded bounding box.
        multiple, plus: sides are `multiple * k + plus`.
        square: whether both sides have the length of the longer one (networks of fixed input size).
        order: colour channels.
        mean, std: normalisation of values 0-255, `(value - mean) / std`, in the order of the channels.
    """

    long_side: Annotated[int, Field(ge=16)]
    multiple: Count
    plus: Annotated[int, Field(ge=0)]
    square: bool
    order: Literal["rgb", "bgr"]
    mean: Triple
    std: Triple


class OutputSpec(Block):
    """Output of a network.

    Attributes:
        parts: name of the output with one channel of scores per part; the highest score wins.
        person: name of the output with one channel, the logit of person against background. Null if the first channel
            of `parts` is the background instead, which is then not among the labels.
        threshold: minimum probability, the sigmoid of `person`.
        samples: location of the scores: `corners` (the first and last score lie on the first and last pixel,
            TensorFlow) or `centers` (each score lies at the centre of its block of pixels).
    """

    parts: str
    person: str | None
    threshold: Annotated[float, Field(gt=0, lt=1)]
    samples: Literal["corners", "centers"]


def network_file(file: str, sha256: str | None, description: str | Path) -> Path:
    """Path of the network that the file `description` names, after verification of its hash.

    Args:
        file: relative to the folder of the description; environment variables are expanded.
        sha256: expected hash; None accepts any file.
        description: path of the description.

    Raises:
        UserError: an environment variable is not set, or the file is missing or has another hash.
    """
    path = Path(description).parent / os.path.expandvars(file)
    if "$" in str(path):
        variable = str(path).split("$")[1].split("/")[0].strip("{}")
        do = f"export {variable}=FOLDER"
        raise UserError("environment variable is not set", where=description, got=file, do=do)
    if not path.is_file():
        raise UserError("no such network", where=description, expected="a file of weights", got=path)
    if sha256 is not None and (actual := file_sha256(path)) != sha256:
        do = "download the file again, or update sha256 in the description if the file is the intended one"
        raise UserError("network with another hash", where=path, expected=f"sha256 {sha256}", got=actual, do=do)
    return path
