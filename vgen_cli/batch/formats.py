"""A prompt file → its rows as plain values, each with the line where it begins: .txt, .csv, .jsonl, .yaml.

Rows are read one at a time. Knows how such files are written, and no key of a row.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..quantities import quoted
from . import inline


@dataclass(frozen=True)
class Raw:
    """A row as it stands in the file: names as written → text, number, bool, None, or a list of them."""

    line: int
    values: dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """What is wrong at a line, in a sentence."""

    line: int
    text: str


def raw_rows(path: Path) -> Iterator[Raw | Fault]:
    """The rows of a prompt file in their order.

    A file whose structure breaks ends with the fault that says where.

    Raises:
        UsageError: no such file, nothing in it, not UTF-8, or an extension that is no prompt file's.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"{path} is no prompt file; its name ends in {', '.join(_READERS)}")
    _check_text(path)
    return reader(path)


def _check_text(path: Path) -> None:
    """Reads the file once, piece by piece, so that what is no text is said in one sentence."""
    line, size = 1, 0
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")(), translate=True)
    try:
        with path.open("rb") as file:
            piece = b"?"
            while piece:
                piece = file.read(1 << 20)
                size += len(piece)
                text, nul, _ = str(decoder.decode(piece, final=not piece)).partition("\0")
                line += text.count("\n")
                if nul:
                    raise UsageError(f"{path}, line {line}: this is not text; a prompt file is text in UTF-8")
    except UnicodeDecodeError as fault:
        before = fault.object[: fault.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        line += before.count(b"\n")
        kind = (
            "not UTF-8 text but UTF-16"
            if fault.object.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
            else "not UTF-8 text"
        )
        raise UsageError(f"{path}, line {line}: {kind}; save the file as UTF-8") from None
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder; give a prompt file") from None
    except (OSError, ValueError) as fault:
        raise UsageError(f"{path} cannot be read: {getattr(fault, 'strerror', None) or fault}") from None
    if not size:
        raise UsageError(f"{path} is empty; write a prompt a line")


def _txt(path: Path) -> Iterator[Raw | Fault]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            cleaned = line.strip()
            if cleaned and not cleaned.startswith("#"):
                yield Raw(number, inline.split(cleaned))


def _csv(path: Path) -> Iterator[Raw | Fault]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        delimiter = _delimiter(file.readline())
        file.seek(0)
        reader = csv.reader(file, delimiter=delimiter, strict=True, skipinitialspace=True)
        names: list[str] = []
        begins = 1
        try:
            for cells in reader:
                row, begins = begins, reader.line_num + 1
                if not any(cell.strip() for cell in cells):
                    continue
                if not names:
                    names = [cell.strip() for cell in cells]
                    twice = next((name for name in names if name and names.count(name) > 1), None)
                    if twice:
                        yield Fault(row, f"the column {quoted(twice)} is there twice")
                        return
                    continue
                yield _cells(row, names, cells)
        except csv.Error as fault:
            yield Fault(begins, f"the row cannot be read ({fault}); check its quotes")


def _delimiter(header: str) -> str:
    """What parts the names of the columns: a comma, or what spreadsheets write in its stead."""
    return max(",;\t", key=header.count)


def _cells(line: int, names: list[str], cells: list[str]) -> Raw | Fault:
    extra = [cell for name, cell in zip(names, cells, strict=False) if not name] + cells[len(names) :]
    if any(cell.strip() for cell in extra):
        return Fault(line, f"{len(cells)} cells for {len(names)} columns; put a text that holds commas in quotes")
    said = {name: cell.strip() for name, cell in zip(names, cells, strict=False) if name}
    return Raw(line, {name: cell for name, cell in said.items() if cell})


def _jsonl(path: Path) -> Iterator[Raw | Fault]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield _row(number, json.loads(line, object_pairs_hook=_once))
                except json.JSONDecodeError as fault:
                    yield Fault(number, f"not a JSON object on one line ({fault.msg} at column {fault.colno})")
                except (ValueError, RecursionError) as fault:
                    yield Fault(number, f"not a JSON object as it should be ({fault})")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"{quoted(name)} is there twice")
        result[name] = value
    return result


def _yaml(path: Path) -> Iterator[Raw | Fault]:
    from .yaml_rows import items

    with path.open(encoding="utf-8-sig") as file:
        for line, value, fault in items(file):
            yield Fault(line, fault) if fault else _row(line, value)


def _row(line: int, value: Any) -> Raw | Fault:
    if isinstance(value, str):
        return Raw(line, {"prompt": value})
    if isinstance(value, dict) and value:
        return Raw(line, value)
    return Fault(line, "a row is a prompt, or names with their values such as prompt, width, seed")


_READERS: dict[str, Callable[[Path], Iterator[Raw | Fault]]] = {
    ".txt": _txt,
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".yaml": _yaml,
    ".yml": _yaml,
}
