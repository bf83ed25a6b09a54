"""How a stage script runs (typed options, one-line errors, a progress bar), and the paths that dvc.yaml runs it with."""

import errno
import inspect
import re
import shlex
import sqlite3
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import typer
from tqdm import tqdm

from dag.errors import UserError

T = TypeVar("T")

CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
DATABASE_CANNOT_WRITE = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
"""Of DVC, which DVCLive opens; the low byte of the error's code."""


def run(stage: Callable[..., None]) -> None:
    """Run a stage function as a command: its parameters are options.

    A `UserError`, and a disk that is full or cannot be written, is one line and exit status 1.
    """
    signature = inspect.signature(stage)
    options = [
        parameter.replace(default=typer.Option(... if parameter.default is parameter.empty else parameter.default))
        for parameter in signature.parameters.values()
    ]
    stage.__signature__ = signature.replace(parameters=options)  # type: ignore[attr-defined]
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(stage)
    try:
        app()
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        _cannot_write(error)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in DATABASE_CANNOT_WRITE:
            raise
        _cannot_write(error)


def _cannot_write(error: Exception) -> NoReturn:
    sys.exit(f"error: cannot write: got {error}; make room, or look at the folder's permissions")


def progress(items: Iterable[T], description: str, total: int | None = None) -> Iterable[T]:
    """Iterate with a bar, a rate and the time left; one line every ten seconds where there is no terminal."""
    interval = 0.1 if sys.stderr.isatty() else 10
    return tqdm(items, description, total=total, mininterval=interval, dynamic_ncols=True)


def stage_options(
    stage: str, dvc_yaml: str | Path = "dvc.yaml", params_yaml: str | Path = "params.yaml"
) -> dict[str, str]:
    """The options that dvc.yaml runs a stage's script with, such as `{"out": "models/pose", ...}` of "train".

    Where files lie is written in dvc.yaml and nowhere else; whoever looks for a stage's files asks here.

    Args:
        stage: as `dvc stage list` names it, e.g. "train" or "predict@coco_val".

    Raises:
        UserError: a missing file, or no such stage; the known ones are listed.
    """
    stages, values = _read_yaml(dvc_yaml)["stages"], _read_yaml(params_yaml)
    name, _, key = stage.partition("@")
    body = stages.get(name, {})
    if "foreach" in body:
        items = _value(body["foreach"].strip("${}"), values)
        body = body["do"] if key in items else {}
        values = {**values, "key": key, "item": items.get(key)}
    if "cmd" not in body:
        raise UserError("no such stage", where=dvc_yaml, expected=f"one of {', '.join(stages)}", got=repr(stage))
    command = re.sub(r"\$\{([\w.]+)\}", lambda name: str(_value(name[1], values)), body["cmd"])
    options = shlex.split(command)[2:]
    return {option.removeprefix("--"): value for option, value in zip(options[::2], options[1::2])}


def _read_yaml(path: str | Path) -> dict[str, Any]:
    from ruamel.yaml import YAML

    try:
        return YAML(typ="safe", pure=True).load(Path(path).read_text())
    except FileNotFoundError:
        raise UserError("no such file", where=path, do="run dag-pose in the project's root") from None


def _value(name: str, values: Mapping[str, Any]) -> Any:
    for key in name.split("."):
        values = values[key]
    return values
