"""Saved views: where to look first."""

import fiftyone as fo
from fiftyone import ViewField


def save_views(dataset: fo.Dataset) -> None:
    """Save "worst OKS" (where there are predictions), "most occluded", "relabelled": photographs, the worst first."""
    if dataset.has_field("worst_oks"):
        worst = dataset.exists("worst_oks").sort_by("worst_oks")
        dataset.save_view("worst OKS", worst, description="lowest OKS of a person first")
    occluded = dataset.match(ViewField("occluded_share") > 0).sort_by("occluded_share", reverse=True)
    dataset.save_view("most occluded", occluded, description="largest share of hidden joints first")
    relabelled = dataset.match(ViewField("relabelled_joints") > 0).sort_by("relabelled_joints", reverse=True)
    dataset.save_view("relabelled", relabelled, description="most joints with a changed label first")
