"""Appearance of the dataset in the App: skeleton, colours, active fields, sidebar."""

from collections.abc import Mapping, Sequence
from typing import Any

import fiftyone as fo

from dag.review.fields import METRIC_FIELDS, field_colors
from dag.skeleton import Skeleton


def set_appearance(dataset: fo.Dataset, skeleton: Skeleton, outputs: Sequence[str], active: Sequence[str]) -> None:
    """Set skeleton, one colour per field, the active fields (ground truth and `active`) and the sidebar."""
    colors = field_colors(outputs)
    set_skeleton(dataset, skeleton, ("ground_truth", "original_annotations", *outputs))
    config: Any = dataset.app_config
    config.color_scheme = fo.ColorScheme(
        color_by="field",
        fields=[{"path": field, "fieldColor": color} for field, color in colors.items()],
        show_skeletons=True,
        multicolor_keypoints=False,
        opacity=0.6,
    )
    config.active_fields = fo.ActiveFields(paths=["ground_truth", *active])
    metrics = [field for field in METRIC_FIELDS if dataset.has_field(field)]
    set_sidebar(dataset, {"instances": list(colors), "image": metrics})
    dataset.save()


def set_skeleton(dataset: fo.Dataset, skeleton: Skeleton, fields: Sequence[str]) -> None:
    """Draw the bones of `skeleton` for these keypoint fields."""
    lines = fo.KeypointSkeleton(labels=list(skeleton.joints), edges=skeleton.bone_index.tolist())
    dataset.skeletons = dict.fromkeys(fields, lines)
    dataset.default_skeleton = lines


def set_sidebar(dataset: fo.Dataset, expanded: Mapping[str, Sequence[str]]) -> None:
    """Set the groups of the sidebar: `expanded` ones first, then FiftyOne's own, collapsed."""
    # FiftyOne puts missing groups, and fields that are in no group, first: all of them are named here.
    groups = {
        **expanded,
        "tags": ["tags", "_label_tags"],
        "metadata": [f"metadata.{name}" for name in ("width", "height", "num_channels", "size_bytes", "mime_type")],
        "primitives": ["image_id", "id", "filepath", "created_at", "last_modified_at"],
    }
    config: Any = dataset.app_config
    config.sidebar_groups = [
        fo.SidebarGroupDocument(name=name, paths=list(paths), expanded=name in expanded)
        for name, paths in groups.items()
    ]
