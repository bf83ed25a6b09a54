"""Studies: changes of params.yaml, each run with several seeds as DVC experiments."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from dag.errors import UserError
from dag.params import Block, Seed, parse_params

Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]
Settings = dict[Annotated[str, Field(pattern=r"^\w+(\.\w+)*$")], Any]


class Study(Block):
    """A study's file.

    Attributes:
        seeds: every row runs once per seed.
        settings: changes of params.yaml in all runs, by dotted key.
        rows: changes of params.yaml by row, by dotted key; the first row is the baseline.
    """

    seeds: Annotated[list[Seed], Field(min_length=1)]
    settings: Settings
    rows: Annotated[dict[Word, Settings], Field(min_length=1)]


@dataclass(frozen=True)
class Run:
    """One run of a study.

    Attributes:
        experiment: name of the DVC experiment, FILE-ROW-SEED.
        changes: of params.yaml, by dotted key.
    """

    row: str
    seed: int
    experiment: str
    changes: Mapping[str, Any]


def read_study(path: Path) -> Study:
    """Read a study's file.

    Raises:
        UserError: missing file, not yaml, or not a study.
    """
    from ruamel.yaml import YAML, YAMLError

    try:
        study = Study.model_validate(YAML(typ="safe", pure=True).load(path.read_text()))
    except FileNotFoundError:
        raise UserError("no such file", where=path, expected="a study, such as experiments/ablation.yaml") from None
    except YAMLError as error:
        raise UserError("not yaml", where=path, got=error) from None
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part) for part in fault["loc"])
        raise UserError(f"{key}: {fault['msg']}", where=path, got=fault["input"]) from None
    if len(set(study.seeds)) < len(study.seeds):
        raise UserError("duplicate seed", where=path, got=study.seeds)
    return study


def runs_of(study: Study, name: str) -> list[Run]:
    """All runs, seed by seed, so that complete comparisons are available early.

    Args:
        name: of the study, the prefix of the experiments' names.
    """
    return [
        Run(row, seed, f"{name}-{row}-{seed}", {"seed": seed, **study.settings, **changes})
        for seed in study.seeds
        for row, changes in study.rows.items()
    ]


def check_runs(runs: list[Run], params: Path) -> None:
    """Check that every run's params.yaml is valid.

    Raises:
        UserError: unknown key or invalid value; the message names the experiment.
    """
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    for run in runs:
        values = yaml.load(params.read_text())
        for key, value in run.changes.items():
            *blocks, last = key.split(".")
            block = values
            for name in blocks:
                block = block.get(name) if isinstance(block, dict) else None
            if not isinstance(block, dict) or last not in block:
                raise UserError("unknown key of params.yaml", where=run.experiment, got=key)
            block[last] = value
        parse_params(_text(values), f"params.yaml of {run.experiment}")


def queue_study(path: Path, params: Path = Path("params.yaml")) -> tuple[list[str], list[str]]:
    """Queue the runs of a study that are neither completed nor queued.

    Returns:
        Names of the experiments that were queued, and of those that already existed.

    Raises:
        UserError: as `read_study` and `check_runs`, or DVC refuses a run.
    """
    from dvc.repo import Repo

    runs = runs_of(read_study(path), path.stem)
    check_runs(runs, params)
    with Repo(".") as repo:
        existing = {name for listed in repo.experiments.ls(all_commits=True).values() for name, _ in listed}
        existing |= {str(task["name"]) for task in repo.experiments.celery_queue.status() if task["status"] != "Failed"}
    missing = [run for run in runs if run.experiment not in existing]
    for run in missing:
        changes = [part for key, value in run.changes.items() for part in ("-S", f"{key}={_text(value).strip()}")]
        command = ["dvc", "exp", "run", "--queue", "--name", run.experiment, *changes]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            error = done.stderr.strip().splitlines()[-1]
            raise UserError("DVC did not queue the run", where=run.experiment, got=error)
    return [run.experiment for run in missing], [run.experiment for run in runs if run.experiment in existing]


def _text(value: Any) -> str:
    """A value as json, which is yaml on one line."""
    import json

    return json.dumps(value)
