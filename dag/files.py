"""Outputs that appear whole or not at all, and file names that stay inside their root."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dag.errors import UserError


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` when the block ends well, remove it when not.

    A killed run leaves at most ``.<name>.partial``, which the next run overwrites.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """As `whole_file`, for a folder: yields an empty temporary folder that replaces `path` when the block ends well."""
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
    """Write `value` as indented json, whole or not at all. NaN is refused: it is not json."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a json file.

    Raises:
        UserError: the file is missing or is not json (with the line of the fault).
    """
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise UserError("no such file", where=path, do="check the data root and the file's name") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError("not a json file", where=path, got=error, do="fetch or export the file again") from None


def inside(root: str | Path, name: str) -> Path:
    """Path of `name` below `root`.

    Annotation files come from strangers, the folders below a data root do not: links in them are followed.

    Raises:
        UserError: `name` is absolute or leads out of `root`.
    """
    path = Path(root) / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise UserError("file name leaves the data root", where=root, expected="a path below it", got=repr(name))
    return path
