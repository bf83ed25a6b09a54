"""Appearance of the dataset in the App: skeleton, colours, active fields, sidebar."""

from collections.abc import Sequence
from typing import Any

import fiftyone as fo

from dag.review.fields import METRIC_FIELDS, field_colors
from dag.skeleton import Skeleton


def set_look(dataset: fo.Dataset, skeleton: Skeleton, outputs: Sequence[str], shown: Sequence[str]) -> None:
    """Set skeleton lines, a colour for each field, active fields (ground truth and `shown`), and the order of the sidebar."""
    colors = field_colors(outputs)
    lines = fo.KeypointSkeleton(labels=list(skeleton.joints), edges=skeleton.bone_index.tolist())
    dataset.skeletons = dict.fromkeys(("ground_truth", "as_annotated", *outputs), lines)
    dataset.default_skeleton = lines
    config: Any = dataset.app_config
    config.color_scheme = fo.ColorScheme(
        color_by="field",
        fields=[{"path": field, "fieldColor": color} for field, color in colors.items()],
        show_skeletons=True,
        multicolor_keypoints=False,
        opacity=0.6,
    )
    config.active_fields = fo.ActiveFields(paths=["ground_truth", *shown])
    # FiftyOne puts missing groups and ungrouped fields first: all of them are listed here.
    groups = {
        "instances": list(colors),
        "image": [field for field in METRIC_FIELDS if dataset.has_field(field)],
        "tags": ["tags", "_label_tags"],
        "metadata": [f"metadata.{name}" for name in ("width", "height", "num_channels", "size_bytes", "mime_type")],
        "primitives": ["image_id", "id", "filepath", "created_at", "last_modified_at"],
    }
    config.sidebar_groups = [
        fo.SidebarGroupDocument(name=name, paths=paths, expanded=name in ("instances", "image"))
        for name, paths in groups.items()
    ]
    dataset.save()
