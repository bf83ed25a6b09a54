"""Which modules of `dag` a file imports, directly or through others. Read from the source; nothing is run.

A package's `__init__` only hands on names, so it is not followed as a whole: `from dag.models import build_model` leads
to the module that defines `build_model`.
"""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent


def imported_files(script: Path, ignore: tuple[str, ...] = ()) -> set[Path]:
    """Modules of `dag` that `script` needs, and `script` itself, relative to the project's root.

    Modules whose path begins with one of `ignore` are neither listed nor followed.
    """
    visited: set[Path] = set()
    queue = [script]
    while queue:
        path = queue.pop()
        if path not in visited and not str(path).startswith(ignore):
            visited.add(path)
            queue += direct_imports(path)
    return visited


@cache
def direct_imports(path: Path) -> frozenset[Path]:
    """Modules of `dag` that a file imports itself, also inside functions."""
    modules: set[Path] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            modules |= {module for alias in node.names if (module := _module(alias.name))}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {module for alias in node.names if (module := _definition(node.module, alias.name))}
    return frozenset(modules - {path})


def _module(name: str) -> Path | None:
    """The file of a module of `dag`; None for packages and for modules of others."""
    path = Path(*name.split(".")).with_suffix(".py")
    return path if path.parts[0] == "dag" and (ROOT / path).is_file() else None


def _definition(module: str, name: str) -> Path | None:
    """The file that `from module import name` takes `name` from."""
    if path := _module(f"{module}.{name}") or _module(module):
        return path
    init = Path(*module.split("."), "__init__.py")
    if init.parts[0] != "dag" or not (ROOT / init).is_file():
        return None
    tree = ast.parse((ROOT / init).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and name in {alias.name for alias in node.names}:
            return _definition(node.module, name)
    return init  # defined in the package's `__init__` itself
