"""Names and colours of the sample fields in the App. Does not import FiftyOne."""

from collections.abc import Sequence

GROUND_TRUTH_FIELDS = ("ground_truth", "relabelled", "original_annotations", "boxes", "segmentation")
METRIC_FIELDS = ("worst_oks", "oks_change", "occlusion_ratio", "relabelled_joints", "num_persons")
COLORS = {
    "ground_truth": "#00e676",
    "graph": "#ff4081",
    "heatmap": "#ffc400",
    "mean_pose": "#40c4ff",
    "relabelled": "#d500f9",
    "original_annotations": "#c6ff00",
    "boxes": "#ffffff",
    "segmentation": "#ff9100",
}
OTHER_COLORS = ("#ff5252", "#b388ff", "#ffff00", "#18ffff")
"""Cycled through by outputs that are not in `COLORS`."""


def field_colors(outputs: Sequence[str]) -> dict[str, str]:
    """Colour of every label field, in the order of the sidebar."""
    others = [output for output in outputs if output not in COLORS]
    other_colors = {output: OTHER_COLORS[index % len(OTHER_COLORS)] for index, output in enumerate(others)}
    colors = {**COLORS, **other_colors}
    return {field: colors[field] for field in ("ground_truth", *outputs, *GROUND_TRUTH_FIELDS[1:])}
