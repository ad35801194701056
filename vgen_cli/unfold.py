"""Groups of options unfolded into the flat signature that Typer reads; a TOML file fills what was not said.

Knows the shape of an option group, and neither the options nor the commands.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from .errors import UsageError
from .options import Switch, Text
from .quantities import quoted
from .recipe import near


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command as Typer wants it: every parameter that is an option group replaced by the group's options.

    A group may hold groups. When one option is `config`, what was not given is taken from that TOML file.
    """
    # Not get_type_hints: before Python 3.11 it wraps a hint whose default is None, and Typer finds no annotation.
    parameters = inspect.signature(command, eval_str=True).parameters
    flat: list[inspect.Parameter] = []
    for parameter in parameters.values():
        flat += _unfold(parameter.name, parameter.annotation, parameter.default)

    def unfolded(**given: Any) -> None:
        if given.get("config"):
            given = filled(given, Path(given["config"]), {p.name: p.annotation for p in flat})
        command(**{name: _fold(name, each.annotation, given) for name, each in parameters.items()})

    unfolded.__name__, unfolded.__doc__ = command.__name__, command.__doc__
    unfolded.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    unfolded.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
    return unfolded


def _is_group(hint: Any) -> bool:
    return isinstance(hint, type) and is_dataclass(hint)


def _unfold(name: str, hint: Any, default: Any) -> list[inspect.Parameter]:
    if not _is_group(hint):
        return [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=hint, default=default)]
    hints = get_type_hints(hint, include_extras=True)
    return [flat for field in fields(hint) for flat in _unfold(field.name, hints[field.name], field.default)]


def _fold(name: str, hint: Any, given: dict[str, Any]) -> Any:
    if not _is_group(hint):
        return given[name]
    hints = get_type_hints(hint, include_extras=True)
    return hint(**{field.name: _fold(field.name, hints[field.name], given) for field in fields(hint)})


def filled(given: dict[str, Any], path: Path, annotations: dict[str, Any]) -> dict[str, Any]:
    """`given`, with what was not said filled in from a TOML file.

    Args:
        given: option name → value, None or an empty list where nothing was said.
        annotations: option name → its annotation, which says what kind of value it takes.

    Raises:
        UsageError: the file cannot be read, is not TOML, or holds a key or a kind of value that does not fit.
    """
    result = dict(given)
    names = tuple(name for name in annotations if name != "config")
    for key, value in _read_toml(path).items():
        name = key.replace("-", "_")
        if name not in names:
            hint = near(name, names) or "the long option names are the keys"
            raise UsageError(f"--config {path}: {key} is no option of this command; {hint.removesuffix('? ')}")
        said = _value(annotations[name].__origin__, value)
        if said is None:
            raise UsageError(f"--config {path}: {key} cannot be {quoted(value)}; see --help for what it takes")
        if result[name] in (None, [], ()):
            result[name] = said
    return result


def _value(kind: Any, value: Any) -> Any:
    """A TOML value as the option would have received it from the command line; None where it does not fit."""
    if kind == Switch:
        return value if isinstance(value, bool) else None
    many = value if isinstance(value, list) else [value]
    if any(isinstance(v, bool | list | dict) for v in many) or (kind == Text and isinstance(value, list)):
        return None
    texts = [str(v) for v in many]
    return texts[0] if kind == Text else texts


def _read_toml(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib as toml
    else:
        import tomli as toml

    try:
        return toml.loads(path.read_text(encoding="utf-8"))
    except OSError as fault:
        raise UsageError(f"--config {path} cannot be read: {fault.strerror}") from None
    except (UnicodeDecodeError, toml.TOMLDecodeError) as fault:
        raise UsageError(f"--config {path} is not TOML: {fault}") from None
