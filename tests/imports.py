"""Which of our files a script imports, directly or through others: read from the source, nothing is run."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent


def imported_files(script: Path) -> set[Path]:
    """Files of `dag` that `script` needs, and `script` itself, relative to the project's root."""
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        waiting += [file for name in _names(ROOT / path) for file in _files(name)]
    return found


def _names(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] == "dag"}


def _files(name: str) -> list[Path]:
    """The module's file and the `__init__.py` of every package above it."""
    parts = name.split(".")
    above = [Path(*parts[:n], "__init__.py") for n in range(1, len(parts) + 1)]
    return [path for path in (*above, Path(*parts).with_suffix(".py")) if (ROOT / path).is_file()]
