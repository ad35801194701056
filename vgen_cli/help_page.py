"""Help pages, drawn from what Typer knows of a command: usage, panels of options, examples.

Plain text, coloured on a terminal, and without rich, whose import would cost more than the rest of the start.
Knows no command by name.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

_WIDEST = 110  # columns
_NAME_COLUMN = 30  # columns


def examples(rows: Iterable[tuple[str, str]]) -> str:
    """The epilog of a command from pairs of a command line and a remark."""
    return "\n".join(f"{line}\n    {remark}" for line, remark in rows)


def _paint(text: str, code: str) -> str:
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    return text if plain or not text else f"\033[{code}m{text}\033[0m"


def _rows(pairs: Sequence[tuple[str, str]], width: int) -> list[str]:
    """Two columns: a name, painted, and its text, wrapped."""
    lines = []
    for name, text in pairs:
        wrapped = textwrap.wrap(text, max(width - _NAME_COLUMN - 2, 30)) or [""]
        if len(name) > _NAME_COLUMN - 2:
            lines.append("  " + _paint(name, "36"))
        else:
            lines.append("  " + _paint(name, "36") + " " * (_NAME_COLUMN - len(name)) + wrapped.pop(0))
        lines += [" " * (_NAME_COLUMN + 2) + line for line in wrapped]
    return lines


def _option_name(option: Any) -> str:
    """`-s, --seed N`: the short names and the first long one; further long names are hidden aliases."""
    short = [name for name in option.opts if not name.startswith("--")]
    long = [name for name in option.opts if name.startswith("--")][:1]
    opposite = [f"{long[0]}/{name}" for name in option.secondary_opts[:1]]
    names = ", ".join([*short, *(opposite or long)])
    return names if option.is_flag else f"{names} {option.metavar or 'VALUE'}"


def page(command: Any, context: Any, commands: Sequence[tuple[str, str, str]] = ()) -> str:
    """The whole help page of a command.

    Args:
        command, context: a Typer command and its context.
        commands: rows of panel, name and summary, for a group.
    """
    width = min(shutil.get_terminal_size((100, 24)).columns, _WIDEST)
    panels: dict[str, list[tuple[str, str]]] = {}
    for param in command.get_params(context):
        if getattr(param, "hidden", False):
            continue
        if param.param_type_name == "argument":
            panels.setdefault("Arguments", []).append((param.metavar or param.name.upper(), param.help or ""))
        else:
            panel = getattr(param, "rich_help_panel", None) or "Options"
            panels.setdefault(panel, []).append((_option_name(param), param.help or ""))
    for panel, name, summary in commands:
        panels.setdefault(panel, []).append((name, summary))
    arguments = panels.pop("Arguments", [])
    options = panels.pop("Options", [])
    words = ["[OPTIONS]", *(name for name, _ in arguments), *(["COMMAND …"] if commands else [])]
    lines = [_paint("Usage: ", "1") + " ".join([context.command_path, *words]), ""]
    for paragraph in textwrap.dedent(command.help or "").strip().split("\n\n"):
        lines += [*textwrap.wrap(paragraph, width), ""]
    for title, rows in (("Arguments", arguments), *panels.items(), ("Options", options)):
        if rows:
            lines += [_paint(f"{title}:", "1"), *_rows(rows, width), ""]
    if command.epilog:
        lines += [_paint("Examples:", "1"), textwrap.indent(command.epilog, "  "), ""]
    return "\n".join(lines)
