"""Running stage scripts (typed options, one-line errors, progress bar), and the options that dvc.yaml gives them."""

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
"""Primary result codes of errors in DVC's database, which DVCLive opens."""


def run(stage: Callable[..., None]) -> None:
    """Run a stage function as a command whose options are the function's parameters.

    A `UserError`, a full disk and missing write permission end the command with one line and exit status 1.
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
    sys.exit(f"error: cannot write: got {error}; free disk space, or check the folder's permissions")


def progress(items: Iterable[T], description: str, total: int | None = None) -> Iterable[T]:
    """Iterate with a progress bar, rate and remaining time; without a terminal, one line every ten seconds."""
    interval = 0.1 if sys.stderr.isatty() else 10
    return tqdm(items, description, total=total, mininterval=interval, dynamic_ncols=True)


def stage_options(
    stage: str, dvc_yaml: str | Path = "dvc.yaml", params_yaml: str | Path = "params.yaml"
) -> dict[str, str]:
    """Command-line options of a stage's script in dvc.yaml, e.g. `{"out": "models/pose", ...}` for "train".

    Paths are written in dvc.yaml only; commands and reports read them with this function.

    Args:
        stage: name as in `dvc stage list`, e.g. "train" or "predict@coco_val".

    Raises:
        UserError: a missing file, or an unknown stage (the known ones are listed).
    """
    values = _read_yaml(params_yaml)
    commands: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for name, body in _read_yaml(dvc_yaml)["stages"].items():
        if "foreach" in body:
            for key, item in _value(body["foreach"].strip("${}"), values).items():
                commands[f"{name}@{key}"] = body["do"]["cmd"], {**values, "key": key, "item": item}
        else:
            commands[name] = body["cmd"], values
    if stage not in commands:
        raise UserError("no such stage", where=dvc_yaml, expected=f"one of {', '.join(commands)}", got=repr(stage))
    template, values = commands[stage]
    options = shlex.split(re.sub(r"\$\{([\w.]+)\}", lambda match: str(_value(match[1], values)), template))[2:]
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
