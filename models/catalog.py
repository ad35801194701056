"""The one list of models and families: for each a card of facts, without its weights.

Reads `catalog.toml`. Knows no files of weights, no tensors and no users; importing it imports neither torch nor numpy.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from .cards import (
    BASE,
    FROM_FOLDER,
    PARTS,
    SPATIAL,
    STAGE_KINDS,
    STAGE_TABLES,
    TEMPORAL,
    UPSAMPLERS,
    Guidance,
    ModelCard,
    ModelFile,
    Stage,
    typed,
)
from .diffusion.scheduler_config import folder_schedule
from .errors import UnknownNameError

__all__ = [
    "BASE",
    "FROM_FOLDER",
    "PARTS",
    "SPATIAL",
    "STAGE_KINDS",
    "TEMPORAL",
    "UPSAMPLERS",
    "Guidance",
    "ModelCard",
    "ModelFile",
    "Stage",
    "families",
    "find",
    "folder_schedule",
    "names",
    "published_as",
    "template",
    "unknown",
]


def names() -> tuple[str, ...]:
    """The models that can be asked for by name."""
    return tuple(_content()["models"])


def find(name: str, *, whole: bool = False) -> ModelCard:
    """The card of a named model.

    Args:
        whole: with the stages, too, whose upsamplers were not published with it; they may come from elsewhere.

    Raises:
        UnknownNameError: no such name; near ones are listed.
    """
    if name not in names():
        raise unknown(name)
    table = dict(_content()["models"][name])
    under = _extended(_content()["templates"], table.pop("template")) if "template" in table else {}
    card = _card(name, _over(under, table))
    if card.embedded or whole:
        return card
    published = {file.part for file in card.files}
    return card.without(kind for kind, part in UPSAMPLERS.items() if part not in published)


def unknown(name: str) -> UnknownNameError:
    """The fault of a name that is none, with near ones."""
    close = difflib.get_close_matches(name, names(), n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(close)}? Else" if close else f"known models: {', '.join(names())}; else"
    return UnknownNameError(f"there is no model {name!r}; {hint} give the path of a model's folder or file")


def families() -> tuple[str, ...]:
    """Families whose networks are in this version: packages `models.<family>`."""
    return tuple(_content()["families"])


def template(family: str, version: str = "") -> ModelCard:
    """The card for weights of a family that are given by their path.

    Args:
        version: a kind such as `0.9.1` or `2.1-i2v`, or a release such as `13b-0.9.8-distilled`; another one, or
            none, is read as the family's default.
    """
    content = _content()
    facts = content["families"][family]
    if version and f"{facts['models']}{version}" in content["models"]:
        return find(f"{facts['models']}{version}", whole=True)
    name = f"{family}-{version}"
    if name not in content["templates"]:
        name = facts["default_template"]
    return _card(name, _extended(content["templates"], name))


def published_as(file: str) -> ModelCard | None:
    """The card of the model whose weights were published in a file of this name, or under a hub id; None for others."""
    for card in map(find, names()):
        own = [each.path for each in card.files if each.part in ("model", "transformer")]
        if file in own or (file and file == card.folder_source):
            return card
    return None


@lru_cache(maxsize=1)
def _content() -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    content: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return content


def _extended(tables: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A table with what it extends underneath."""
    table = dict(tables[name])
    return _over(_extended(tables, table.pop("extends")), table) if "extends" in table else table


def _over(under: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """One table over another: tables within are merged, files are added, all else is replaced."""
    merged = {**under, **table}
    for key in under.keys() & table.keys():
        if isinstance(table[key], dict):
            merged[key] = _over(under[key], table[key])
        elif key == "files":
            merged[key] = [*table[key], *under[key]]
    return merged


def _listed(files: Iterable[Any]) -> list[Any]:
    """Rows of files, those of a set in place of the set's name."""
    sets = _content().get("files", {})
    return [row for each in files for row in (sets[each] if isinstance(each, str) else [each])]


def _card(name: str, table: Mapping[str, Any]) -> ModelCard:
    values = {**table, "files": _listed(table.get("files", ()))}
    memory, tables = values.pop("memory", {}), {key: values.pop(key, {}) for key in STAGE_TABLES}
    compat = {
        other: {pipeline: _extended(classes, pipeline) for pipeline in classes}
        for other, classes in values.pop("compat", {}).items()
    }
    stages = tuple(Stage(stage["kind"]).changed(stage) for stage in values.pop("stages"))
    card = ModelCard(name=name, stages=stages, compat_values=compat, **typed(values), **memory)
    return card.changed(tables)
