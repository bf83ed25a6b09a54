"""Initial weights of a training run from a checkpoint."""

from pathlib import Path

from dag.errors import UserError
from dag.models.pose import DagPose
from dag.models.weights import load_weights


def initialise(model: DagPose, path: str | Path) -> str:
    """Load a checkpoint of this network or of its backbone only; parts without weights in it are not changed.

    Returns:
        One line that says what was loaded.

    Raises:
        UserError: the file cannot be read, or is of another backbone, head or skeleton.
    """
    report = load_weights(model, path, strict=False)
    if report.mismatched:
        got = f"{len(report.mismatched)} entries of another shape, such as {report.mismatched[0]}"
        expected = "this backbone, head and number of joints"
        do = "set train.weights to a checkpoint of this network, or of its backbone only"
        raise UserError("weights of another network", where=path, expected=expected, got=got, do=do)
    if missing := [name for name in report.missing if name.startswith("backbone.")]:
        got = f"{len(missing)} entries missing, such as {missing[0]}"
        raise UserError("weights of another backbone", where=path, got=got, do="set model.backbone or train.weights")
    return str(report)
