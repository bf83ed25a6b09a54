"""Atomic writing of files and folders, json, file hashes, and paths that stay below a root folder."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from dag.errors import UserError


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Write a file atomically: yields a temporary path beside `path` that is renamed to `path` at the end of the block.

    After an exception the temporary file is removed. A killed process leaves at most ``.<name>.partial``, which the
    next call overwrites.
    """
    path = Path(path)
    with _renamed(path.with_name(f".{path.name}.partial"), path) as partial:
        yield partial


@contextmanager
def shared_file(path: str | Path) -> Iterator[Path]:
    """As `whole_file`, with a unique temporary name: several processes may write the same bytes at the same time."""
    path = Path(path)
    with _renamed(path.with_name(f".{path.name}.{uuid4().hex}"), path) as partial:
        yield partial


@contextmanager
def _renamed(partial: Path, path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """As `whole_file`, for a folder: yields an empty temporary folder that replaces `path` at the end of the block."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        if path.exists():
            shutil.rmtree(path)
        os.replace(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented json, atomically. NaN is refused because json has no NaN."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a json file.

    Raises:
        UserError: the file is missing, or is not json (with the line of the syntax error).
    """
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise UserError("no such file", where=path, do="check the data root and the file's name") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError("not a json file", where=path, got=error, do="fetch or export the file again") from None


def inside(root: str | Path, name: str) -> Path:
    """Path of `name` below `root`.

    File names in annotation files are untrusted input. Links below a data root are the user's own and are followed.

    Raises:
        UserError: `name` is absolute or leads out of `root`.
    """
    path = Path(root) / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise UserError("file name leaves the data root", where=root, expected="a path below it", got=repr(name))
    return path


def sha256(path: str | Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
