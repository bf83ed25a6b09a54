"""Charts as SVG: the Vega-Lite templates of `.dvc/plots`, filled with records of several experiments."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dag.errors import UserError
from dag.report.plots_page import VEGA_LITE

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Colours of experiments, distinguishable with colour blindness (Okabe & Ito, Color Universal Design, 2008)."""


def draw(template: Path, records: Sequence[dict[str, Any]], names: Sequence[str], title: str = "experiment") -> str:
    """Chart of records as SVG.

    Args:
        records: each with its series in `rev`.
        names: the series, in the order of `COLORS`.
        title: of the legend.

    Raises:
        UserError: no such template, or it is not json.
    """
    from vl_convert import vegalite_to_svg

    color = {
        "field": "rev",
        "type": "nominal",
        "title": title,
        "sort": list(names),
        "scale": {"domain": list(names), "range": list(COLORS[: len(names)])},
        **({"legend": None} if len(names) == 1 else {}),
    }
    anchors = {"<DVC_METRIC_DATA>": list(records), "<DVC_METRIC_COLOR>": color, "<DVC_METRIC_TITLE>": ""}
    try:
        spec = json.loads(template.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError("no such chart", where=template, do="run dag-pose in the project's root") from None
    except json.JSONDecodeError as error:
        raise UserError("not a json file", where=template, got=error) from None
    column = spec.get("facet", {}).get("column", {})
    if column.get("field") == "rev":
        column["sort"] = list(names)
    svg = vegalite_to_svg(_filled(spec, anchors), vl_version=VEGA_LITE)
    return re.sub(r'(\bid="|url\(#)', rf"\g<1>{template.stem}-", svg)  # ids are unique on a page with several charts


def _filled(value: Any, anchors: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, anchors) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, anchors) for inner in value]
    return anchors.get(value, value) if isinstance(value, str) else value
