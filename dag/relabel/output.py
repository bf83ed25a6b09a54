"""Output folder of relabelling: annotations, COCO files, and tables of candidates and changes."""

from collections.abc import Sequence
from pathlib import Path

from dag.annotation import PersonAnnotation, write_annotations
from dag.convert.coco import write_coco
from dag.files import whole_folder
from dag.relabel.candidates import Candidate, write_candidates
from dag.relabel.reviews import Decision, write_decisions
from dag.skeleton import Skeleton


def write_relabelled(
    path: str | Path,
    relabelled: Sequence[PersonAnnotation],
    candidates: Sequence[Candidate],
    unused: Sequence[Decision],
    skeleton: Skeleton,
) -> None:
    """Write the folder `path`, atomically.

    Args:
        relabelled: annotations for `annotations.parquet` and, by split, `person_keypoints_<split>_re.json` (COCO).
        candidates: all of them for `queue.parquet`, those that change a label for `changes.parquet`.
        unused: decisions without a matching person and joint, for `unused.jsonl`.
    """
    with whole_folder(path) as folder:
        write_annotations(folder / "annotations.parquet", list(relabelled), skeleton)
        write_candidates(folder / "queue.parquet", candidates)
        write_candidates(folder / "changes.parquet", [row for row in candidates if row.is_change])
        write_decisions(folder / "unused.jsonl", unused)
        for split in sorted({person.split for person in relabelled}):
            of_split = [person for person in relabelled if person.split == split]
            write_coco(folder / f"person_keypoints_{split}_re.json", of_split, skeleton)
