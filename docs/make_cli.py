"""Writes docs/cli.md: the help page of every command, as `vgen … --help` prints it.

python docs/make_cli.py            write it
python docs/make_cli.py --check    exit code 1 when the file is not what would be written

Knows the commands only by asking the application.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "cli.md"
WIDTH = 100  # columns of a help page

if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # a checkout need not be installed


def commands() -> Iterator[tuple[str, ...]]:
    """The words of every command, groups before what they hold: (), ("t2v",), … ("models", "list") …"""
    from typer.main import get_command

    from vgen_cli.app import app

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield words
        if hasattr(command, "list_commands"):
            for name in command.list_commands(None):
                yield from walk(command.get_command(None, name), (*words, name))

    yield from walk(get_command(app), ())


def help_page(words: tuple[str, ...]) -> str:
    """What `vgen <words> --help` prints.

    Raises:
        RuntimeError: the command did not end with exit code 0.
    """
    from vgen_cli.app import main as vgen

    printed = io.StringIO()
    width, os.environ["COLUMNS"] = os.environ.get("COLUMNS"), str(WIDTH)
    try:
        with contextlib.redirect_stdout(printed):
            code = vgen([*words, "--help"])
    finally:
        if width is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = width
    if code:
        raise RuntimeError(f"vgen {' '.join(words)} --help ended with exit code {code}")
    return printed.getvalue()


def document() -> str:
    """The whole page, in Markdown."""
    parts = [
        "# vgen at the shell",
        "",
        "Every help page, as the commands print it. Made by `python docs/make_cli.py`; a test keeps it current.",
    ]
    for words in commands():
        title = " ".join(("vgen", *words))
        level = "#" * min(2 + max(len(words) - 1, 0), 3)
        parts += ["", f"{level} {title}", "", "```text", help_page(words).strip(), "```"]
    return "\n".join(parts) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or compare it; the exit code."""
    parser = argparse.ArgumentParser(prog="python docs/make_cli.py", description="Write docs/cli.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when the page is out of date")
    asked = parser.parse_args(arguments)
    page = document()
    if not asked.check:
        PAGE.write_text(page, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page:
        sys.stderr.write("docs/cli.md is not current; write it again: make help-docs\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
