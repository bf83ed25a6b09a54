"""Loading of a human parser by its description.

To add a parser:
1. An ONNX network needs only a yaml file in presets/parsers.
2. For any other parser, write dag/parsing/<name>.py with a class that implements `dag.masks.HumanParser`, and a
   `ParserDescription` with the keys of its yaml file and `load`. Import heavy packages inside functions.
3. Add the description to `Description`, and a yaml file of that kind to presets/parsers.
   tests/parsing/test_load.py runs for every description and every preset.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError
from ruamel.yaml import YAML, YAMLError

from dag.errors import UserError
from dag.masks import HumanParser
from dag.parsing.ce2p_network import Ce2pDescription
from dag.parsing.description import ParserDescription
from dag.parsing.mask_parser import MaskDescription
from dag.parsing.onnx_network import OnnxDescription
from dag.skeleton import Skeleton

Description = Annotated[MaskDescription | OnnxDescription | Ce2pDescription, Field(discriminator="kind")]

DESCRIPTION = "parser.yaml"
"""File name of the description in the folder of a trained parser."""


def load_parser(path: str | Path, skeleton: Skeleton) -> HumanParser:
    """The parser of a description, or of a folder of stage `parser`, which contains one.

    Raises:
        UserError: the description is missing or invalid, or `ParserDescription.load` fails.
    """
    path = Path(path).resolve()  # workers of a cluster run in other folders
    path = path / DESCRIPTION if path.is_dir() else path
    return read_description(path).load(path, skeleton)


def read_description(path: str | Path) -> ParserDescription:
    """The validated description of a yaml file.

    Raises:
        UserError: the file is missing or not yaml, or has missing, unknown or invalid keys; all faults are listed.
    """
    try:
        return TypeAdapter(Description).validate_python(YAML(typ="safe", pure=True).load(Path(path).read_text()))
    except OSError as error:
        do = "set pool.parser to a file of presets/parsers or to the folder of a trained parser"
        raise UserError("no such parser", where=path, got=error.strerror, do=do) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError("not yaml", where=path, got=error) from None
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, f['loc'])) or 'the file'}: {f['msg']}" for f in error.errors())
        raise UserError("; ".join(faults), where=path) from None
