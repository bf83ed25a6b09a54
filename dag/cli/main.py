"""The command `dag-pose`: its groups of commands, put together. Heavy imports wait inside the commands."""

import sys

import typer

from dag.cli import app, data, evaluation, experiments, models, params
from dag.errors import UserError

dag_pose = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Occluded human pose estimation: data, attention, graph. `dvc repro` runs the pipeline; this does the rest.",
)
dag_pose.add_typer(params.group, name="params")
dag_pose.add_typer(models.weights_group, name="weights")
for module in (data, models, evaluation, experiments, app):
    module.add_commands(dag_pose)


def main() -> None:
    """Entry point: an error that the user can fix is one line and exit status 1."""
    try:
        dag_pose()
    except UserError as error:
        sys.exit(f"error: {error}")
