"""Stage `dedupe`: rows to train on, without images that a validation split of any data set holds."""

from pathlib import Path

from dag.annotation import read_annotations, write_annotations
from dag.convert.duplicates import without_leaks
from dag.errors import UserError
from dag.files import write_json
from dag.stage import run


def dedupe(annotations: Path, dataset: str, out: Path, metrics: Path) -> None:
    """Write the rows of DATASET to OUT; which images the tables in PERSONS share to METRICS."""
    files = sorted(annotations.glob("*.parquet"))
    if annotations / f"{dataset}.parquet" not in files:
        known = ", ".join(file.stem for file in files)
        raise UserError("no such data set", where=annotations, expected=f"one of {known}", got=dataset)
    tables = {file.stem: read_annotations(file) for file in files}
    rows, skeleton = tables[dataset]
    kept, report = without_leaks(rows, [row for found, _ in tables.values() for row in found], dataset)
    write_annotations(out, kept, skeleton)
    write_json(metrics, report)


if __name__ == "__main__":
    run(dedupe)
