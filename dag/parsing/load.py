"""The parser that a description leads to."""

from pathlib import Path

from dag.masks import HumanParser
from dag.parsing.description import Ce2pDescription, MasksDescription, OutputRule, network_file, read_description
from dag.parsing.mask_parser import MaskParser
from dag.skeleton import Skeleton

DESCRIPTION = "parser.yaml"
"""Name of the description in a folder that stage `parser` writes."""


def load_parser(path: str | Path, skeleton: Skeleton) -> HumanParser:
    """The parser that a yaml describes, or a folder of stage `parser`, which holds one.

    Raises:
        UserError: no such description, a faulty one, a missing or other network, or one that does not fit.
    """
    path = Path(path).resolve()  # a cluster's workers run in other folders
    path = path / DESCRIPTION if path.is_dir() else path
    description = read_description(path)
    if isinstance(description, MasksDescription):
        return MaskParser()
    # Networks are heavy to import, and masks do not need them.
    from dag.parsing.network_parser import NetworkParser

    file = network_file(description.file, description.sha256, path)
    if isinstance(description, Ce2pDescription):
        from dag.parsing.ce2p_network import Ce2pNetwork

        rule = OutputRule(parts="fused", person=None, threshold=0.5, samples="corners")
        network = Ce2pNetwork(file, len(description.labels) + 1, description.backbone)
        return NetworkParser(network, description.labels, description.input, rule, skeleton, path)
    from dag.parsing.onnx_network import OnnxNetwork

    rule = description.output
    network = OnnxNetwork(file, description.input, rule, path)
    return NetworkParser(network, description.labels, description.input, rule, skeleton, path)
