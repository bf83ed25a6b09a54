"""Saved views of the dataset."""

from typing import Any

import fiftyone as fo
from fiftyone import ViewField

KINDS = {"swap": "swaps", "inversion": "inversions", "miss": "misses"}


def save_views(dataset: fo.Dataset, headline: str | None) -> None:
    """Save views of images, the worst first.

    "most occluded" and "relabelled" from the ground truth. With predictions also "worst OKS" and, for the headline
    output, poses with "swaps", "inversions" or "misses" and the poses of each stratum; for a comparison, the poses that
    are "worse than before" and "better than before".
    """
    if headline:
        worst = dataset.exists("worst_oks").sort_by("worst_oks")
        dataset.save_view("worst OKS", worst, description="lowest OKS of a person first")
        _save_kinds(dataset, headline)
        _save_strata(dataset, headline)
        _save_changes(dataset, headline)
    occluded = dataset.match(ViewField("occlusion_ratio") > 0).sort_by("occlusion_ratio", reverse=True)
    dataset.save_view("most occluded", occluded, description="highest occlusion ratio first")
    relabelled = dataset.match(ViewField("relabelled_joints") > 0).sort_by("relabelled_joints", reverse=True)
    dataset.save_view("relabelled", relabelled, description="most joints with a changed label first")


def _save_kinds(dataset: fo.Dataset, headline: str) -> None:
    for kind, name in KINDS.items():
        number = ViewField(f"{headline}.keypoints.{kind}_joints").sum()
        found = dataset.filter_labels(headline, ViewField(f"{kind}_joints") > 0).sort_by(number, reverse=True)
        dataset.save_view(name, found, description=f"poses with a {kind} alone, the most joints first")


def _save_strata(dataset: fo.Dataset, headline: str) -> None:
    strata: Any = dataset.distinct(f"{headline}.keypoints.strata")
    for name in strata:
        found = dataset.filter_labels(headline, ViewField("strata").contains(name)).sort_by("worst_oks")
        dataset.save_view(name.replace("_", " "), found, description="poses of this stratum alone, lowest OKS first")


def _save_changes(dataset: fo.Dataset, headline: str) -> None:
    if dataset.count("oks_change") == 0:
        return
    change = ViewField("oks_change")
    worse = dataset.filter_labels(headline, change.exists() & (change < 0)).sort_by("oks_change")
    dataset.save_view("worse than before", worse, description="poses whose OKS fell, the deepest fall first")
    rise = ViewField(f"{headline}.keypoints.oks_change").max()
    better = dataset.filter_labels(headline, change.exists() & (change > 0)).sort_by(rise, reverse=True)
    dataset.save_view("better than before", better, description="poses whose OKS rose, the highest rise first")
