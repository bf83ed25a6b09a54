"""Template of the page of `dvc plots` with the scripts embedded: it works offline."""

from pathlib import Path
from typing import Any

from dag.errors import UserError
from dag.files import whole_file

VEGA_LITE = "5.21"
"""The newest Vega-Lite release of the major version that DVC's templates use."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{refresh_tag}
<title>Plots</title>
<style>
body {font: 14px/1.4 system-ui, sans-serif; margin: 24px}
body > div {margin-bottom: 32px}
img {max-width: 100%}
</style>
<script>
BUNDLE
</script>
</head>
<body>
{plot_divs}
</body>
</html>
"""
"""DVC fills the fields in braces. Its own template loads three scripts from a CDN in place of `BUNDLE`."""


def write_plots_page(dvc_folder: str | Path = ".dvc") -> Path:
    """Write `plots.html` into DVC's folder and set it as DVC's template, for this checkout only (`config.local`).

    Raises:
        UserError: no such folder.
    """
    from dvc.config import Config
    from vl_convert import javascript_bundle

    folder = Path(dvc_folder)
    if not folder.is_dir():
        raise UserError("no such folder", where=folder, do="run dag-pose in the project's root")
    page = folder / "plots.html"
    with whole_file(page) as partial:
        partial.write_text(
            PAGE.replace("BUNDLE", javascript_bundle("window.vegaEmbed = vegaEmbed;", VEGA_LITE)), encoding="utf-8"
        )
    settings: Any = Config(str(folder.resolve()))
    with settings.edit("local") as config:
        config["plots"]["html_template"] = page.name  # relative to DVC's folder
    return page
