"""Human parsing: which pixels are a person, which part of the body, and which person."""

from dag.data.parsing.base import Parsed, Parser
from dag.data.parsing.masks import MaskParser
from dag.skeleton import Skeleton

__all__ = ["Parsed", "Parser", "load_parser"]


def load_parser(name: str, skeleton: Skeleton) -> Parser:
    """The parser called `name`: "masks", or a path of a yaml that describes an ONNX network.

    Raises:
        UserError: see `dag.data.parsing.onnx.OnnxParser`.
    """
    if name == "masks":
        return MaskParser()
    from dag.data.parsing.onnx import OnnxParser  # onnxruntime is heavy, and masks do not need it

    return OnnxParser(name, skeleton)
