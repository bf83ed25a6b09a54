"""Saved views of annotations and predictions, sorted worst first."""

from typing import Any

import fiftyone as fo
from fiftyone import ViewField

ERROR_VIEWS = {"swap": "swaps", "inversion": "inversions", "miss": "misses"}


def save_views(dataset: fo.Dataset, headline: str | None) -> None:
    """Save views of images.

    From the ground truth: "most occluded", "relabelled". With predictions: "worst OKS"; of the headline output's poses,
    only those with "swaps", "inversions" or "misses", and only those of each stratum. If two outputs were compared:
    "OKS decreased", "OKS increased".
    """
    if headline:
        worst = dataset.exists("worst_oks").sort_by("worst_oks")
        dataset.save_view("worst OKS", worst, description="images by the lowest OKS of a person, ascending")
        _save_error_views(dataset, headline)
        _save_strata(dataset, headline)
        _save_changes(dataset, headline)
    occluded = dataset.match(ViewField("occlusion_ratio") > 0).sort_by("occlusion_ratio", reverse=True)
    dataset.save_view("most occluded", occluded, description="images by the fraction of occluded joints, descending")
    relabelled = dataset.match(ViewField("relabelled_joints") > 0).sort_by("relabelled_joints", reverse=True)
    dataset.save_view("relabelled", relabelled, description="images by the number of relabelled joints, descending")


def _save_error_views(dataset: fo.Dataset, headline: str) -> None:
    for kind, name in ERROR_VIEWS.items():
        count = ViewField(f"{headline}.keypoints.{kind}_joints").sum()
        view = dataset.filter_labels(headline, ViewField(f"{kind}_joints") > 0).sort_by(count, reverse=True)
        dataset.save_view(name, view, description=f"poses with a {kind}, images by the number of such joints")


def _save_strata(dataset: fo.Dataset, headline: str) -> None:
    strata: Any = dataset.distinct(f"{headline}.keypoints.strata")
    for name in strata:
        view = dataset.filter_labels(headline, ViewField("strata").contains(name)).sort_by("worst_oks")
        dataset.save_view(name.replace("_", " "), view, description="poses of this stratum, lowest OKS first")


def _save_changes(dataset: fo.Dataset, headline: str) -> None:
    if dataset.count("oks_change") == 0:
        return
    change = ViewField("oks_change")
    lower = dataset.filter_labels(headline, change.exists() & (change < 0)).sort_by("oks_change")
    dataset.save_view("OKS decreased", lower, description="poses whose OKS decreased, largest decrease first")
    largest = ViewField(f"{headline}.keypoints.oks_change").max()
    higher = dataset.filter_labels(headline, change.exists() & (change > 0)).sort_by(largest, reverse=True)
    dataset.save_view("OKS increased", higher, description="poses whose OKS increased, largest increase first")
