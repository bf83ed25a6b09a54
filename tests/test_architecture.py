"""The rules of the house: sizes, directions of imports, what lies loose in `dag/`."""

import ast
import io
import tokenize
from collections import Counter
from pathlib import Path

from tests.imports import ROOT, direct_imports

LOOSE = {
    *("skeleton", "annotation", "image", "prediction", "boxes", "geometry", "masks"),
    *("files", "errors", "params", "stage", "parallel", "attention", "graph", "__init__", "__main__"),
}
LAYERS = (
    {"."},
    {"body", "convert", "evaluation", "pool", "callbacks", "models"},
    {"synthetic", "augmentation", "relabel"},
    {"parsing", "cache", "inference"},
    {"sheets"},
    {"training", "report"},
    {"review"},
    {"cli"},
)
"""Packages of `dag/` from the bottom up; a package imports only from layers below its own."""
MODULES = sorted(path.relative_to(ROOT) for path in (ROOT / "dag").rglob("*.py"))


def lines_of_code(path: Path) -> int:
    """Lines that are neither blank, comment nor docstring."""
    source = (ROOT / path).read_text()
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in skipped:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def package(path: Path) -> str:
    """The package directly below `dag/` that a module is in; "." for loose modules."""
    return path.parts[1] if len(path.parts) > 2 else "."


def test_no_file_is_over_250_lines_of_code() -> None:
    sizes = {str(path): lines_of_code(path) for path in MODULES}
    assert not {name: size for name, size in sizes.items() if size > 250}


def test_no_package_holds_more_than_15_percent_of_the_code() -> None:
    sizes: Counter[str] = Counter()
    for path in MODULES:
        sizes[package(path)] += lines_of_code(path)
    total = sum(sizes.values())
    assert not {name: size / total for name, size in sizes.items() if name != "." and size > 0.15 * total}


def test_only_the_vocabulary_and_the_two_words_of_the_paper_are_loose() -> None:
    assert {path.stem for path in MODULES if package(path) == "."} == LOOSE


def test_imports_point_down() -> None:
    layer = {name: number for number, names in enumerate(LAYERS) for name in names}
    assert set(layer) == {package(path) for path in MODULES}
    upward = [
        f"{path} imports {imported}"
        for path in MODULES
        for imported in direct_imports(path)
        if package(path) != package(imported) and layer[package(imported)] >= layer[package(path)]
        if path != Path("dag/__main__.py")
    ]
    assert not upward, "\n".join(sorted(upward))


def test_no_module_imports_itself_through_others() -> None:
    state: dict[Path, str] = {}

    def visit(path: Path, chain: tuple[Path, ...]) -> None:
        assert state.get(path) != "open", " -> ".join(map(str, (*chain, path)))
        if path not in state:
            state[path] = "open"
            for imported in direct_imports(path):
                visit(imported, (*chain, path))
            state[path] = "done"

    for path in MODULES:
        visit(path, ())


def test_evaluation_imports_no_torch() -> None:
    for path in MODULES:
        if package(path) == "evaluation":
            names = {
                (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name) or ""
                for node in ast.walk(ast.parse((ROOT / path).read_text()))
                if isinstance(node, ast.Import | ast.ImportFrom)
            }
            assert not {name for name in names if name.split(".")[0] == "torch"}, path


def test_only_review_imports_fiftyone() -> None:
    for path in MODULES:
        if package(path) != "review":
            assert "import fiftyone" not in (ROOT / path).read_text(), path
            assert "from fiftyone" not in (ROOT / path).read_text(), path
