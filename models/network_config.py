"""What the configurations of all networks share: frozen records, read from and written to a diffusers `config.json`.

Field names are those of the file. A key or a value that the networks do not implement is refused by name.
Knows no family and no tensors: importing it costs nothing.
"""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import UnsupportedConfigError

ConfigT = TypeVar("ConfigT", bound="NetworkConfig")


def _read(key: str, value: Any, kind: Any) -> Any:
    """`value` of a JSON file as `kind`, lists become tuples.

    Raises:
        UnsupportedConfigError: when the value is of another type.
    """
    wanted = getattr(kind, "__name__", str(kind))
    if get_origin(kind) in (Union, types.UnionType):
        inner = [each for each in get_args(kind) if each is not type(None)]
        return None if value is None else _read(key, value, inner[0])
    if get_origin(kind) is tuple:
        if isinstance(value, (list, tuple)):
            return tuple(_read(key, each, get_args(kind)[0]) for each in value)
        wanted = "list"
    elif kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif type(value) is kind:
        return value
    raise UnsupportedConfigError(f"{key} must be a {wanted}, not {value!r}")


def require(key: str, value: Any, *allowed: Any) -> None:
    """Refuse a value that is none of those allowed."""
    if value not in allowed:
        raise UnsupportedConfigError(f"{key} = {value!r} is not implemented; allowed: {', '.join(map(repr, allowed))}")


def positive(**values: int | float) -> None:
    """Refuse values that are not above zero."""
    for key, value in values.items():
        if not value > 0:
            raise UnsupportedConfigError(f"{key} must be above zero, not {value!r}")


def header_config(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The `config` in the metadata of a weight file, parsed; empty when there is none.

    Raises:
        UnsupportedConfigError: it is there and is not a JSON object.
    """
    if "config" not in metadata:
        return {}
    try:
        config = json.loads(metadata["config"])
    except (ValueError, RecursionError) as error:
        raise UnsupportedConfigError(f"the config in the header is not JSON ({error})") from error
    if not isinstance(config, dict):
        raise UnsupportedConfigError("the config in the header is not a JSON object")
    return config


@dataclass(frozen=True)
class NetworkConfig:
    """What all records share: reading from a mapping and writing back."""

    CLASS_NAME: ClassVar[str] = ""
    EXTENSIONS: ClassVar[tuple[str, ...]] = ()
    UNREAD: ClassVar[tuple[str, ...]] = ()
    """Keys of published files that no network, here or elsewhere, reads."""

    @classmethod
    def from_dict(cls: type[ConfigT], data: Mapping[str, Any]) -> ConfigT:
        """The record of a parsed `config.json`; `UNREAD` keys and those that start with `_` are notes and ignored.

        Raises:
            UnsupportedConfigError: for a class, a key or a value that is not implemented.
        """
        name = data.get("_class_name", cls.CLASS_NAME)
        if name != cls.CLASS_NAME:
            raise UnsupportedConfigError(f"_class_name is {name!r}; this network is {cls.CLASS_NAME!r}")
        kinds = get_type_hints(cls)
        known = {each.name for each in fields(cls)}
        given = {key: value for key, value in data.items() if not key.startswith("_") and key not in cls.UNREAD}
        if unknown := sorted(set(given) - known):
            raise UnsupportedConfigError(f"unknown configuration keys: {', '.join(unknown[:10])}")
        return cls(**{key: _read(key, value, kinds[key]) for key, value in given.items()})

    def to_dict(self) -> dict[str, Any]:
        """The record as `config.json` holds it; fields that are our own only where they are set."""
        values: dict[str, Any] = {"_class_name": self.CLASS_NAME}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in self.EXTENSIONS and not value:
                continue
            values[each.name] = list(value) if isinstance(value, tuple) else value
        return values
