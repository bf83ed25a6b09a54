"""Presets: params.yaml written from `presets/default.yaml` and the values that a preset changes.

With `extends: NAME`, a preset changes another preset instead of the default.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from dag.errors import UserError
from dag.files import whole_file
from dag.params import Block, Params, parse_params

DEFAULT = "default"


def preset_names(folder: str | Path = "presets") -> list[str]:
    """Names of the presets, the default first."""
    names = sorted(path.stem for path in Path(folder).glob("*.yaml"))
    return sorted(names, key=lambda name: name != DEFAULT)


def describe(name: str, folder: str | Path = "presets") -> str:
    """The header comment of a preset: description, command, expected time and result."""
    lines = _path(name, folder).read_text().splitlines()
    header = [line.lstrip("# ") for line in lines[: next(i for i, line in enumerate(lines) if line[:1] != "#")]]
    return "\n".join(header)


def use_preset(
    name: str, folder: str | Path = "presets", params: str | Path = "params.yaml"
) -> list[tuple[str, Any, Any]]:
    """Replace params.yaml by a preset, with comments.

    Environment variables in values (`$NAME/...`) are expanded: queued experiments run in another folder, so params.yaml
    holds absolute paths.

    Returns:
        Changes as (dotted key, before, after), "-" for a missing key.

    Raises:
        UserError: unknown preset (the known ones are listed), a preset that extends itself, an unset environment
            variable, or an invalid preset. params.yaml is then unchanged.
    """
    yaml = _yaml()
    values = yaml.load(_path(DEFAULT, folder).read_text())
    for overlay in _overlays(yaml, name, folder):
        _merge(values, overlay, Params)
    if name != DEFAULT:
        values.yaml_set_start_comment(describe(name, folder))
    before = dict(_leaves(yaml.load(Path(params).read_text()))) if Path(params).exists() else {}
    with whole_file(params) as partial:
        yaml.dump(values, partial)
        parse_params(partial.read_text(), _path(name, folder))
    after = dict(_leaves(values))
    keys = [*after, *(key for key in before if key not in after)]
    changes = [(key, before.get(key, "-"), after.get(key, "-")) for key in keys]
    return [change for change in changes if change[1] != change[2]]


def _overlays(yaml: YAML, name: str, folder: str | Path) -> list[Mapping]:
    """The values of a preset and of the presets that it extends, the most basic first."""
    overlays: list[Mapping] = []
    names: list[str] = []
    while name != DEFAULT:
        if name in names:
            raise UserError("preset extends itself", where=_path(name, folder), got=" > ".join([*names, name]))
        names.append(name)
        overlay = yaml.load(_path(name, folder).read_text())
        name = overlay.pop("extends", DEFAULT)
        overlays.insert(0, overlay)
    return overlays


def _yaml() -> YAML:
    yaml = YAML()
    yaml.width = 120
    yaml.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    return yaml


def _path(name: str, folder: str | Path) -> Path:
    path = Path(folder) / f"{name}.yaml"
    if not Path(folder).is_dir():
        raise UserError("no such folder", where=folder, do="run dag-pose in the project's root, beside params.yaml")
    if name not in preset_names(folder):
        raise UserError("unknown preset", where=folder, expected=f"one of {preset_names(folder)}", got=repr(name))
    return path


def _merge(values: dict, overlay: Mapping, block: type[Block]) -> None:
    """Merge blocks key by key. All other values, including tables of data sets and protocols, are replaced."""
    for key, value in overlay.items():
        field = block.model_fields.get(key)
        kind = field.annotation if field else None
        if isinstance(kind, type) and issubclass(kind, Block):
            _merge(values[key], value, kind)
        else:
            values[key] = _expand(value, key)


def _expand(value: Any, where: str) -> Any:
    if isinstance(value, dict):
        for key in value:
            value[key] = _expand(value[key], f"{where}.{key}")
    if isinstance(value, list):
        value[:] = [_expand(one, where) for one in value]
    if isinstance(value, str) and value.startswith("$"):
        value = os.path.expandvars(value)
        if value.startswith("$"):
            variable = value[1:].split("/")[0]
            raise UserError("environment variable is not set", where=where, got=value, do=f"export {variable}=FOLDER")
    return value


def _leaves(values: Mapping, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
