"""Stage `parts` for rendered people: the part maps of render.py to one table of label maps."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from dag.data.images import file_hash
from dag.data.parsing.labels import FIGURES
from dag.data.parsing.parts import LabelMap, write_parts
from dag.errors import UserError
from dag.files import write_json
from dag.stage import progress, run


def parts(root: Path, labels: Path, out: Path, report: Path) -> None:
    """Collect `LABELS/<split>/<name>.png` with the photographs `ROOT/<split>/<name>.jpg`."""
    files = sorted(labels.glob("*/*.png"), key=lambda path: (path.parent.name != "train", path))
    if not files:
        raise UserError("no label maps", where=labels, expected="<split>/<name>.png", do="run `dvc repro render`")
    write_parts(out, _rows(root, files), dataset="figures", labels=FIGURES)
    write_json(report, {"photographs": dict(Counter(path.parent.name for path in files)), "labels": len(FIGURES)})


def _rows(root: Path, files: list[Path]) -> Iterator[LabelMap]:
    for path in progress(files, "label maps"):
        image_path = f"{path.parent.name}/{path.stem}.jpg"
        yield LabelMap(path.parent.name, image_path, file_hash(root / image_path), path.read_bytes())


if __name__ == "__main__":
    run(parts)
