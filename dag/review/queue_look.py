"""How the review looks in the App: colours, what is switched on, the sidebar, the saved views."""

from typing import Any

import fiftyone as fo
from fiftyone import ViewField

from dag.annotation import Occluder
from dag.skeleton import Skeleton

POSE_COLORS = {"before": "#00e676", "after": "#40c4ff", "boxes": "#ffffff"}
POSE_KINDS: tuple[str, ...] = (
    "visible",
    "partly occluded",
    "mostly occluded",
    "person",
    "person without joints",
    "crowd",
)
DECISION_COLORS = {
    "queued": "#ff4081",
    "automatic": "#d500f9",
    "accept": "#2979ff",
    "move": "#2979ff",
    "flag": "#ffea00",
    "reject": "#ff1744",
    "annotated": "#00e676",
}
VIEWS = {
    "accepted": ["accept"],
    "rejected": ["reject"],
    "moved or flagged": ["move", "flag"],
    "automatic": ["automatic"],
}
METRICS = ("queued", "decided", "uncertainty", "disagreement", "instances")


def set_queue_look(dataset: fo.Dataset, skeleton: Skeleton) -> None:
    """Proposals coloured by what was decided about them, the annotated pose apart from them, both skeletons."""
    lines = fo.KeypointSkeleton(labels=list(skeleton.joints), edges=skeleton.bone_index.tolist())
    dataset.skeletons = dict.fromkeys(("before", "after"), lines)
    dataset.default_skeleton = lines
    config: Any = dataset.app_config
    colored = [(field, "decision", DECISION_COLORS) for field in ("proposed", "annotated")]
    colored += [(field, "label", dict.fromkeys(POSE_KINDS, color)) for field, color in POSE_COLORS.items()]
    config.color_scheme = fo.ColorScheme(
        color_by="value",
        fields=[_by_value(*each) for each in colored],
        show_skeletons=True,
        multicolor_keypoints=False,
        opacity=0.6,
    )
    config.active_fields = fo.ActiveFields(paths=["before", "proposed", "queued"])
    groups = {
        "joints": ["proposed", "annotated", "before", "after", "boxes"],
        "review": list(METRICS),
        "tags": ["tags", "_label_tags"],
        "metadata": [f"metadata.{name}" for name in ("width", "height", "num_channels", "size_bytes", "mime_type")],
        "primitives": ["image_id", "id", "filepath", "created_at", "last_modified_at"],
    }
    config.sidebar_groups = [
        fo.SidebarGroupDocument(name=name, paths=paths, expanded=name in ("joints", "review"))
        for name, paths in groups.items()
    ]
    dataset.save()


def _by_value(field: str, attribute: str, colors: dict[str, str]) -> dict[str, Any]:
    values = [{"value": value, "color": color} for value, color in colors.items()]
    color = colors.get(field) or next(iter(colors.values()))
    return {"path": field, "fieldColor": color, "colorByAttribute": attribute, "valueColors": values}


def save_queue_views(dataset: fo.Dataset, skeleton: Skeleton) -> None:
    """Save views of whole images, the least certain proposal first.

    "queue", those of `VIEWS`, "disagreements" between models (the widest first), and of what waits one a joint and one
    an occluder.
    """
    ranked = dataset.sort_by("uncertainty", reverse=True)
    waiting = ranked.match(ViewField("queued") > 0)
    dataset.save_view("queue", waiting, description="images with proposals that wait, the least certain first")
    for name, actions in VIEWS.items():
        has = [ViewField(f"{field}.detections.decision").contains(actions) for field in ("proposed", "annotated")]
        dataset.save_view(name, ranked.match(has[0] | has[1]), description=f"images with such a joint: {name}")
    apart = waiting.match(ViewField("disagreement") > 0).sort_by("disagreement", reverse=True)
    dataset.save_view("disagreements", apart, description="models that differ the most first")
    for field, values in (("label", skeleton.joints), ("occluder", [each.name.lower() for each in Occluder])):
        for value in values:
            waits = (ViewField(field) == value) & (ViewField("decision") == "queued")
            found = ranked.match(ViewField("proposed.detections").filter(waits).length() > 0)
            name = value.replace("_", " ") if field == "label" else f"behind {value}"
            dataset.save_view(name, found, description=f"images with such a proposal that waits: {value}")
