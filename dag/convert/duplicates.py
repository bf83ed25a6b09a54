"""Images that two data sets or splits share: what a model was trained on must not judge it."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from dag.annotation import PersonAnnotation

LISTED = 100
"""File names that a report lists at most."""


def without_leaks(
    persons: Sequence[PersonAnnotation], everyone: Sequence[PersonAnnotation], dataset: str
) -> tuple[list[PersonAnnotation], dict[str, Any]]:
    """Rows of a data set without train images that a validation split holds, and a report.

    An image is known by the hash of its bytes; rows without one (converted without images) are never alike.
    A validation split is every split that is not called "train", of any data set.

    Args:
        persons: rows of the data set that will be trained on.
        everyone: rows of all converted data sets, these among them.
        dataset: name of the data set that will be trained on.
    """
    places: dict[str, set[tuple[str, str]]] = defaultdict(set)
    files: dict[tuple[str, str], set[str]] = defaultdict(set)
    for person in everyone:
        if person.image_hash is not None:
            places[person.image_hash].add((person.dataset, person.split))
            files[person.dataset, person.image_hash].add(person.image_path)
    leaked = {digest for digest, where in places.items() if any(split != "train" for _, split in where)}
    kept = [person for person in persons if person.split != "train" or person.image_hash not in leaked]
    pairs: Counter[str] = Counter()
    for where in places.values():
        pairs.update(" and ".join(map("/".join, pair)) for pair in combinations(sorted(where), 2))
    names = sorted({p.image_path for p in persons if p.split == "train" and p.image_hash in leaked})
    report = {
        "dataset": dataset,
        "rows": {"before": len(persons), "after": len(kept)},
        "shared_photographs": dict(sorted(pairs.items())),
        "left_out": {"images": len(names), "files": names[:LISTED]},
        "twice_in_one_data_set": sum(len(found) > 1 for found in files.values()),
        "rows_without_hash": sum(person.image_hash is None for person in everyone),
    }
    return kept, report
