"""Images that occur in several data sets or splits: training images must not occur in a validation split."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from dag.annotation import PersonAnnotation

LISTED = 100
"""Maximum number of file names in a report."""


def without_leaked_images(
    persons: Sequence[PersonAnnotation], all_persons: Sequence[PersonAnnotation], dataset: str
) -> tuple[list[PersonAnnotation], dict[str, Any]]:
    """Annotations of a data set without its training images that occur in a validation split, and a report.

    Images are identified by the hash of their file; annotations without a hash (converted without images) never match.
    Every split that is not named "train", of any data set, is a validation split.

    Args:
        persons: annotations of the data set to train on.
        all_persons: annotations of all converted data sets, including this one.
        dataset: name of the data set to train on.
    """
    splits_of: dict[str, set[tuple[str, str]]] = defaultdict(set)
    files_of: dict[tuple[str, str], set[str]] = defaultdict(set)
    for person in all_persons:
        if person.image_hash is not None:
            splits_of[person.image_hash].add((person.dataset, person.split))
            files_of[person.dataset, person.image_hash].add(person.image_path)
    leaked = {image for image, splits in splits_of.items() if any(split != "train" for _, split in splits)}
    kept = [person for person in persons if person.split != "train" or person.image_hash not in leaked]
    shared: Counter[str] = Counter()
    for splits in splits_of.values():
        shared.update(" and ".join(map("/".join, pair)) for pair in combinations(sorted(splits), 2))
    removed = sorted({p.image_path for p in persons if p.split == "train" and p.image_hash in leaked})
    report = {
        "dataset": dataset,
        "annotations": {"before": len(persons), "after": len(kept)},
        "shared_images": dict(sorted(shared.items())),
        "removed": {"images": len(removed), "files": removed[:LISTED]},
        "duplicates_within_a_data_set": sum(len(files) > 1 for files in files_of.values()),
        "annotations_without_hash": sum(person.image_hash is None for person in all_persons),
    }
    return kept, report
