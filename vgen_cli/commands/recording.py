"""What a file says of how it was made, and the recipe that follows: changed where asked, its files found again.

Knows metadata, recipes and paths. Knows no machine and makes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..media.digest import digest
from ..media.metadata import SIDECAR, read_recipe
from ..pins import pin
from ..quantities import quoted
from ..recipe import EXCLUSIVE, Recipe, near
from ..version import __version__
from .showing import one_line

KEYS = tuple(field.name for field in fields(Recipe))
_SWITCHES = frozenset(field.name for field in fields(Recipe) if "bool" in str(field.type))
_MANY = frozenset(field.name for field in fields(Recipe) if "tuple" in str(field.type))
_LISTED = 10
_WORDS = {"true": True, "yes": True, "false": False, "no": False}

VERSION, INPUTS, KEY = "vgen", "inputs", "key"
"""Keys beside those of the recipe: who made the file, the hashes of what entered, and what the clip is known by."""

SAME, CHANGED, MISSING, UNKNOWN = "the same", "changed", "missing", "there"


@dataclass(frozen=True)
class Recording:
    """What a file carries.

    Attributes:
        path: the file, or the folder of frames.
        metadata: as it stands there, unchecked.
    """

    path: Path
    metadata: Mapping[str, Any]

    @property
    def version(self) -> str:
        """Of the vgen that made it; "" where it does not say."""
        return one_line(str(self.metadata.get(VERSION, "")))[:20]

    @property
    def values(self) -> dict[str, Any]:
        """The keys of the recipe."""
        return {name: value for name, value in self.metadata.items() if name not in (VERSION, INPUTS, KEY)}

    @property
    def digests(self) -> Mapping[str, Any]:
        """Hashes of the files that entered, by the paths that the recipe has for them."""
        found = self.metadata.get(INPUTS)
        return found if isinstance(found, dict) else {}

    def find(self, written: str) -> tuple[str, str]:
        """A file that entered: where it is now, and `SAME`, `CHANGED`, `MISSING`, or `UNKNOWN` without a hash.

        It is looked for from the current folder, then beside the recording, there by its bare name too.
        """
        beside = self.path.parent
        places = [written, os.path.join(beside, written), os.path.join(beside, os.path.basename(written))]
        there = [place for place in places if os.path.exists(place)]
        if not there:
            return written, MISSING
        if written not in self.digests:
            return there[0], UNKNOWN
        same = [place for place in dict.fromkeys(there) if digest(place) == self.digests[written]]
        return (same[0], SAME) if same else (there[0], CHANGED)


def read_recording(file: str) -> Recording | None:
    """The recording of a video, a GIF, a picture, or a folder of frames or its `recipe.json`; None: there is none.

    Raises:
        UsageError: there is no such file.
    """
    path = Path(file)
    if path.name == SIDECAR:
        path = path.parent
    metadata = read_recipe(path)
    return None if metadata is None else Recording(path, metadata)


def inputs(recording: Recording) -> list[dict[str, str]]:
    """What entered, each with its `path` in the recipe, where it was `found`, and its `state` now (see `find`)."""
    try:
        written = Recipe.create(**{name: value for name, value in recording.values.items() if name in KEYS}).files
    except UsageError:  # of another version: what was hashed is all that is known
        written = tuple(recording.digests)
    named = dict.fromkeys(written)
    return [dict(zip(("path", "found", "state"), (path, *recording.find(path)), strict=True)) for path in named]


def changes(given: list[str], recorded: Mapping[str, Any]) -> dict[str, Any]:
    """What `--set` says, by the recipe's keys; None for a key that goes back to its default.

    Args:
        recorded: whose keys may be unset even where no recipe has them.

    Raises:
        UsageError: no KEY=VALUE, an unknown key, or one that is set twice.
    """
    said: dict[str, Any] = {}
    for each in given:
        name, equals, value = each.partition("=")
        key = name if name in recorded else name.strip().lower().replace("-", "_")
        unset = value.strip().lower() == "none"
        if not equals:
            raise UsageError(f"--set: {quoted(each)} is not KEY=VALUE; write it as seed=5")
        if key not in KEYS and not (unset and key in recorded):
            hint = near(key, KEYS).strip() or f"keys: {', '.join(KEYS)}"
            raise UsageError(f"--set: {quoted(name)} is no key of a recipe; {hint}")
        if key in said and (key not in _MANY or unset or said[key] is None):
            raise UsageError(f"--set: {key} is set twice; give one of them")
        if key in _MANY and not unset:
            said.setdefault(key, []).append(value)
        else:
            said[key] = None if unset else _WORDS.get(value.strip().lower(), value) if key in _SWITCHES else value
    return said


def recipe_of(recording: Recording, said: Mapping[str, Any]) -> Recipe:
    """The recorded recipe, its files where they are now.

    Args:
        said: as from `changes`; takes the place of what is recorded, and of what that excludes.

    Raises:
        UsageError: a key or a value that this version does not know, a file that is gone, or one that is not what
            it was.
    """
    given = {name for name, value in said.items() if value is not None}
    excluded = {other for group in EXCLUSIVE if given.intersection(group) for other in group}
    values = {name: value for name, value in recording.values.items() if name not in {*said, *excluded}}
    values |= {name: said[name] for name in given}
    writer = f"vgen {recording.version}" if recording.version else "another vgen"
    unknown = [name for name in values if name not in KEYS]
    if unknown:
        ways = " ".join(f"--set {one_line(name)}=none" for name in unknown[:_LISTED])
        raise UsageError(
            f"the recipe in {recording.path} has keys that vgen {__version__} does not know; it was written by "
            f"{writer}: upgrade, or leave them out with {ways}"
        )
    try:
        recipe = Recipe.create(**values)
    except UsageError as fault:
        by = "" if recording.version in ("", __version__) else f", written by {writer}"
        raise UsageError(f"the recipe in {recording.path}{by}: {fault}") from None
    return _with_files(recipe, recording, said)


def _with_files(recipe: Recipe, recording: Recording, said: Mapping[str, Any]) -> Recipe:
    """The recipe with the paths of what enters as they are now; what was said is taken as it is.

    Raises:
        UsageError: a file is gone, or is not what it was.
    """
    taken: dict[str, Any] = {}
    for name in ("image", "last_image", "video", "mask", "control", "images", "reference", "image_at"):
        value = getattr(recipe, name)
        if value is None or name in said:
            continue
        if name in ("images", "reference"):
            taken[name] = tuple(_found(path, name, recording) for path in value)
        elif name == "image_at":
            pins = map(pin, value)
            taken[name] = tuple(str(replace(each, path=_found(each.path, name, recording))) for each in pins)
        else:
            taken[name] = _found(value, name, recording)
    return replace(recipe, **taken)


def _found(written: str, key: str, recording: Recording) -> str:
    path, state = recording.find(written)
    if state == MISSING:
        way = "…" if key in _MANY else "FILE"
        raise UsageError(
            f"{one_line(written)}, which {recording.path} was made from, is neither there nor beside it; "
            f"put it back, or say what to take: --set {key}={way}"
        )
    if state == CHANGED:
        way = "…" if key in _MANY else path
        raise UsageError(
            f"{path} has changed since {recording.path} was made from it; put the old one back, "
            f"or say what to take: --set {key}={way}"
        )
    return path
