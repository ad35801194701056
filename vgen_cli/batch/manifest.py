"""Rows of a prompt file → recipes: names of keys made one, values of text made what they mean, files found.

Which keys there are is the recipe's to say; only what is not of the recipe stands here. Knows no model.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from .. import quantities
from ..errors import UsageError
from ..pins import pin
from ..quantities import quoted
from ..recipe import DOORS, EXCLUSIVE, Recipe, near
from .formats import Fault, Raw, raw_rows

BESIDE = ("num_clips", "output", "format")
"""Keys of a row that are not the recipe's: how many clips, the file's name in the folder, its extension."""

_ALIASES = {
    "frames": "num_frames",
    "negative": "negative_prompt",
    "guidance": "guidance_scale",
    "cfg_scale": "guidance_scale",
    "num_inference_steps": "steps",
    "name": "output",
    "video_at": "image_at",
}
_RECIPE = tuple(field.name for field in fields(Recipe))
_SWITCHES = frozenset(field.name for field in fields(Recipe) if "bool" in str(field.type))
_MANY = frozenset(("seed", *(field.name for field in fields(Recipe) if "tuple" in str(field.type))))
_KEYS = (*_RECIPE, "size", *BESIDE)
_PATHS = ("image", "last_image", "video", "mask", "control")
_AT_SOME_DOORS = frozenset[str]().union(*(door.fields for door in DOORS.values()))
_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_BETWEEN = "|"


@dataclass(frozen=True)
class Row:
    """A row with one name for every key.

    Attributes:
        line: where it begins in the file.
        values: keys of the recipe, `seed` as a list, and those of `BESIDE`; only what was said.
    """

    line: int
    values: Mapping[str, Any]


def read_rows(path: Path) -> Iterator[Row | Fault]:
    """The rows of a prompt file in their order, and a fault in the place of each that cannot be one.

    Raises:
        UsageError: the file itself is no prompt file; see `raw_rows`.
    """
    return (raw if isinstance(raw, Fault) else _row(raw, path.parent) for raw in raw_rows(path))


def _row(raw: Raw, folder: Path) -> Row | Fault:
    try:
        return Row(raw.line, {name: _found(name, value, folder) for name, value in normal(raw.values).items()})
    except UsageError as fault:
        return Fault(raw.line, str(fault))


def normal(given: Mapping[str, Any]) -> dict[str, Any]:
    """Keys and values as the recipe names and takes them; `size` split in two, what was not said left out.

    Raises:
        UsageError: an unknown key, one that is there twice, or a kind of value that it does not take.
    """
    result: dict[str, Any] = {}
    for written, value in given.items():
        name, value = _key(str(written), value)
        if value is None:
            continue
        if name in result:
            raise UsageError(f"{quoted(written)} is there twice, under two names")
        result[name] = _value(name, value)
    size = result.pop("size", None)
    if size is not None:
        if "width" in result or "height" in result:
            raise UsageError("size excludes width and height; give one of them")
        result["width"], result["height"] = quantities.size(str(size))
    return result


def _key(written: str, value: Any) -> tuple[str, Any]:
    name = written.strip().lower().replace("-", "_").replace(" ", "_")
    if name.startswith("no_") and name[3:] in _SWITCHES and value is True:
        return name[3:], False
    name = _ALIASES.get(name, name)
    if name not in _KEYS:
        hint = near(name, (*_KEYS, *_ALIASES)) or "keys are prompt, width, height, num_frames, seed, image, video, …; "
        raise UsageError(f"{quoted(written)} is no key of a row; {hint}put quotes round a text that holds : or --")
    return name, value


def _value(name: str, value: Any) -> Any:
    if value is True and name not in _SWITCHES:
        raise UsageError(f"{name} needs a value")
    if name in _MANY:
        several = value if isinstance(value, list) else str(value).split(_BETWEEN)
        if any(isinstance(each, bool | list | dict | None) for each in several):
            raise UsageError(f"{name} takes a list of texts or numbers")
        return several
    if isinstance(value, list | dict):
        raise UsageError(f"{name} takes one value, not several")
    if name in _SWITCHES and isinstance(value, str):
        return _WORDS.get(value.strip().lower(), value)
    return value


def _found(name: str, value: Any, folder: Path) -> Any:
    """A path of a file that enters, seen from the prompt file's folder where it is there, else as it stands."""
    if name in _PATHS and isinstance(value, str):
        return _path(value, folder)
    if name in ("images", "reference"):
        return [_path(str(each), folder) for each in value]
    if name == "image_at":
        pins = map(pin, value)
        return [str(replace(each, path=_path(each.path, folder))) for each in pins]
    return value


def _path(written: str, folder: Path) -> str:
    path = os.path.expanduser(written.strip())
    beside = str(folder / path)
    return beside if os.path.exists(beside) else path


def recipe_of(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> Recipe:
    """The recipe of a row, without a seed.

    Args:
        values: of a row; `command` may be among them, else what enters says it.
        defaults: for what the row does not say, each where it applies to the row's command.

    Raises:
        UsageError: a value that no recipe can have, or what the command needs is missing.
    """
    own = {name: value for name, value in values.items() if name in _RECIPE and name != "seed"}
    said = {name for name in own if name != "command"}
    excluded = {other for group in EXCLUSIVE if said.intersection(group) for other in group}
    command = str(own.get("command") or _command(own)).strip().lower()
    elsewhere = _AT_SOME_DOORS - (DOORS[command].fields if command in DOORS else frozenset())
    kept = {
        name: value
        for name, value in defaults.items()
        if name in _RECIPE and name != "seed" and name not in said | excluded | elsewhere
    }
    return Recipe.create(**{**kept, **own, "command": command})


def _command(own: Mapping[str, Any]) -> str:
    if "video" in own:
        return "v2v"
    if any(name in own for name in ("image", "last_image", "image_at")):
        return "i2v"
    return "interpolate" if "images" in own else "t2v"
