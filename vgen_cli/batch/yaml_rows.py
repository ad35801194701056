"""The items of a YAML list, one at a time, each with its line.

Reads events and builds nothing but texts, lists and mappings: a value is the text that stands there, so that a
prompt `no` or `2024-01-01` stays what it is, and no tag can make an object. Knows no key of a row.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, NamedTuple, TextIO

import yaml

_DEEPEST = 8  # lists and mappings inside each other
_BREAKS = re.compile("[\n\x85\u2028\u2029]")
_NULLS = ("", "~", "null", "Null", "NULL")
_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map")}


class Item(NamedTuple):
    """An item of the list, or a fault, with its line."""

    line: int
    value: Any
    fault: str = ""


class _FaultError(Exception):
    """What is wrong, in a sentence, and where."""

    def __init__(self, event: Any, text: str) -> None:
        super().__init__(text)
        self.line = _line(event)


def _line(event: Any) -> int:
    number: int = event.start_mark.line
    return number + 1


def items(file: TextIO) -> Iterator[Item]:
    """The items of every list in the file; where its structure breaks, a fault comes last."""
    text = _Text(file)
    for item in _items(_Events(text)):
        yield item._replace(line=text.line(item.line))


def _items(events: _Events) -> Iterator[Item]:
    try:
        yield from events.items()
    except _FaultError as fault:
        yield Item(fault.line, None, str(fault))
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        yield Item(mark.line + 1 if mark else events.line, None, f"the YAML cannot be read: {fault.problem}")
    except (yaml.YAMLError, RecursionError) as fault:
        yield Item(events.line, None, f"the YAML cannot be read: {(str(fault).splitlines() or ['it breaks off'])[0]}")


class _Text:
    """A text as the parser reads it, which keeps where YAML breaks lines and editors do not."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._breaks: list[int] = []
        self._lines = 1

    def read(self, size: int = -1) -> str:
        """Some more of it."""
        text = self._file.read(size)
        for found in _BREAKS.finditer(text):
            self._lines += 1
            if found[0] != "\n":
                self._breaks.append(self._lines)
        return text

    def line(self, number: int) -> int:
        """A line as editors count it; where the text breaks off, its last one."""
        return min(number, self._lines) - bisect_right(self._breaks, number)


class _Events:
    """The parser's events as values; anchors hold the values themselves, so an alias costs nothing."""

    def __init__(self, file: _Text) -> None:
        self._events = iter(yaml.parse(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
        self._anchors: dict[str, Any] = {}
        self.line = 1

    def items(self) -> Iterator[Item]:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors.clear()
            elif isinstance(event, yaml.SequenceStartEvent):
                for first in self._until(yaml.SequenceEndEvent):
                    yield Item(_line(first), self._value(first, 1))
            elif isinstance(event, yaml.NodeEvent) and getattr(event, "value", None) != "":
                raise _FaultError(event, "the file is no list; begin every row with a dash: - prompt: a red circle")

    def _until(self, end: type) -> Iterator[Any]:
        for event in self._events:
            self.line = _line(event)
            if isinstance(event, end):
                return
            yield event

    def _value(self, event: Any, depth: int) -> Any:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise _FaultError(event, f"*{event.anchor} stands for nothing; write &{event.anchor} before it")
            return self._anchors[event.anchor]
        if depth > _DEEPEST:
            raise _FaultError(event, "lists inside lists; a row is a prompt, or names with their values")
        if event.tag not in (None, "!", *_PLAIN_TAGS):
            raise _FaultError(event, f"the tag {event.tag} is not taken; leave it out")
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = None if event.implicit[0] and event.value in _NULLS else event.value
        elif isinstance(event, yaml.SequenceStartEvent):
            value = [self._value(each, depth + 1) for each in self._until(yaml.SequenceEndEvent)]
        else:
            value = self._mapping(depth)
        if event.anchor:
            self._anchors[event.anchor] = value
        return value

    def _mapping(self, depth: int) -> dict[str, Any]:
        """Names and values; `<<` brings those of other mappings, which a name of its own overrides."""
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for event in self._until(yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise _FaultError(event, "a name is plain text")
            value = self._value(next(self._events), depth + 1)
            if event.value == "<<":
                for each in value if isinstance(value, list) else [value]:
                    if not isinstance(each, dict):
                        raise _FaultError(event, "<< takes a mapping, such as *defaults")
                    merged = {**each, **merged}
            elif event.value in own:
                raise _FaultError(event, f"{event.value!r} is there twice")
            else:
                own[event.value] = value
        return {**merged, **own}
