"""Fields of a sample and their colours; imports no FiftyOne."""

from collections.abc import Sequence

GROUND_TRUTH_FIELDS = ("ground_truth", "relabelled", "as_annotated", "boxes", "segmentation")
METRIC_FIELDS = ("worst_oks", "oks_change", "occlusion_ratio", "relabelled_joints", "instances")
COLORS = {
    "ground_truth": "#00e676",
    "graph": "#ff4081",
    "heatmap": "#ffc400",
    "mean_pose": "#40c4ff",
    "relabelled": "#d500f9",
    "as_annotated": "#c6ff00",
    "boxes": "#ffffff",
    "segmentation": "#ff9100",
}
OTHER_COLORS = ("#ff5252", "#b388ff", "#ffff00", "#18ffff")


def field_colors(outputs: Sequence[str]) -> dict[str, str]:
    """Colour of every label field; outputs without a fixed colour use `OTHER_COLORS` in turn."""
    others = [output for output in outputs if output not in COLORS]
    own = {output: OTHER_COLORS[number % len(OTHER_COLORS)] for number, output in enumerate(others)}
    return {field: {**COLORS, **own}[field] for field in ("ground_truth", *outputs, *GROUND_TRUTH_FIELDS[1:])}
