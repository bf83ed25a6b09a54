"""Stage `dedupe`: annotations to train on, without images that occur in a validation split of any data set."""

from pathlib import Path

from dag.annotation import read_annotations, write_annotations
from dag.convert.duplicates import without_leaked_images
from dag.errors import UserError
from dag.files import write_json
from dag.stage import run


def dedupe(annotations: Path, dataset: str, out: Path, metrics: Path) -> None:
    """Write the annotations of DATASET without leaked images to OUT, and a report on shared images to METRICS."""
    files = sorted(annotations.glob("*.parquet"))
    if annotations / f"{dataset}.parquet" not in files:
        known = ", ".join(file.stem for file in files)
        raise UserError("no such data set", where=annotations, expected=f"one of {known}", got=dataset)
    tables = {file.stem: read_annotations(file) for file in files}
    persons, skeleton = tables[dataset]
    all_persons = [person for table, _ in tables.values() for person in table]
    kept, report = without_leaked_images(persons, all_persons, dataset)
    write_annotations(out, kept, skeleton)
    write_json(metrics, report)


if __name__ == "__main__":
    run(dedupe)
