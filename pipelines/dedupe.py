"""Stage `dedupe`: rows to train on, without photographs that a validation split of any data set holds."""

from pathlib import Path

from dag.data.duplicates import without_leaks
from dag.errors import UserError
from dag.files import write_json
from dag.person import read_persons, write_persons
from dag.stage import run


def dedupe(persons: Path, dataset: str, out: Path, metrics: Path) -> None:
    """Write the rows of DATASET to OUT; which photographs the tables in PERSONS share to METRICS."""
    files = sorted(persons.glob("*.parquet"))
    if persons / f"{dataset}.parquet" not in files:
        known = ", ".join(file.stem for file in files)
        raise UserError("no such data set", where=persons, expected=f"one of {known}", got=dataset)
    tables = {file.stem: read_persons(file) for file in files}
    rows, skeleton = tables[dataset]
    kept, report = without_leaks(rows, [row for found, _ in tables.values() for row in found], dataset)
    write_persons(out, kept, skeleton)
    write_json(metrics, report)


if __name__ == "__main__":
    run(dedupe)
