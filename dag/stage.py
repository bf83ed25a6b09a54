"""How a stage script runs: typed options, one-line errors, a progress bar with an estimate."""

import errno
import inspect
import sqlite3
import sys
from collections.abc import Callable, Iterable
from typing import NoReturn, TypeVar

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
