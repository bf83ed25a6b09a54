"""Entry point of `dag-pose`. Commands import heavy packages when they run, so that help is fast."""

import sys

import typer

from dag.cli import app, data, evaluation, experiments, models, params
from dag.errors import UserError

dag_pose = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Occluded human pose estimation (data, attention, graph). Run the pipeline with `dvc repro`; these commands "
    "configure it, evaluate, review and report.",
)
dag_pose.add_typer(params.group, name="params")
dag_pose.add_typer(models.weights_group, name="weights")
for module in (data, models, evaluation, experiments, app):
    module.add_commands(dag_pose)


def main() -> None:
    """Run `dag-pose`. A `UserError` ends it with one line and exit status 1."""
    try:
        dag_pose()
    except UserError as error:
        sys.exit(f"error: {error}")
