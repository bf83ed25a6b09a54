"""The weights that a training starts from."""

from pathlib import Path

from dag.errors import UserError
from dag.models.pose import DagPose
from dag.models.weights import load_weights


def initialise(model: DagPose, path: str | Path) -> str:
    """Load a checkpoint of this network, or of its backbone alone; what it lacks (attention, graph) stays as it is.

    Returns:
        What was loaded, in words.

    Raises:
        UserError: the file cannot be read, or is of another backbone, head or skeleton.
    """
    report = load_weights(model, path, strict=False)
    if report.mismatched:
        got = f"{len(report.mismatched)} entries of another shape, such as {report.mismatched[0]}"
        expected = "this backbone, head and number of joints"
        do = "set train.weights to a checkpoint of this network, or of its backbone alone"
        raise UserError("weights of another network", where=path, expected=expected, got=got, do=do)
    if lacking := [name for name in report.missing if name.startswith("backbone.")]:
        got = f"{len(lacking)} entries missing, such as {lacking[0]}"
        raise UserError("weights of another backbone", where=path, got=got, do="set model.backbone or train.weights")
    return str(report)
