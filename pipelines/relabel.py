"""Stage `relabel`: COCO-RE, what hides each hidden joint."""

from pathlib import Path

from dag.data.coco_json import write_coco
from dag.data.relabel import relabel as relabel_joints
from dag.data.relabel import relabel_metrics, write_changes
from dag.files import whole_folder, write_json
from dag.params import load_params
from dag.person import read_persons, write_persons
from dag.stage import run
from dag.work import Workers


def relabel(persons: Path, out: Path, metrics: Path) -> None:
    """Write the relabelled rows, a COCO json a split and the table of changes into the folder OUT."""
    people, skeleton = read_persons(persons)
    params = load_params()
    workers = Workers(params.engine.workers, params.engine.backend, params.engine.cluster)
    rows, changes, undecided = relabel_joints(people, skeleton, margin=params.relabel.margin, workers=workers)
    with whole_folder(out) as folder:
        write_persons(folder / "persons.parquet", rows, skeleton)
        write_changes(folder / "changes.parquet", changes)
        for split in sorted({row.split for row in rows}):
            part = [row for row in rows if row.split == split]
            write_coco(folder / f"person_keypoints_{split}_re.json", part, skeleton)
    write_json(metrics, relabel_metrics(people, rows, undecided))


if __name__ == "__main__":
    run(relabel)
