"""Renaming tensors between published files and our networks, as rows of data, in both directions.

Knows no family, no files on disk and no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Shape = tuple[int, ...]
Row = tuple[str, str]
"""(path in the original file, path in ours): whole dotted segments; a leading `^` holds both to the start."""


@dataclass(frozen=True)
class KeyMap:
    """A renaming in both directions: of `first` rows one at most applies, of `then` rows each does, once."""

    first: tuple[Row, ...] = ()
    then: tuple[Row, ...] = ()
    unused: tuple[str, ...] = ()

    def ours(self, name: str) -> str | None:
        """Our name of an original one; None for a tensor that nothing reads."""
        return None if name in self.unused else self._apply(name, self.first, self.then)

    def original(self, name: str) -> str:
        """The original name of one of ours."""
        return self._apply(name, _swapped(self.first), _swapped(self.then))

    @staticmethod
    def _apply(name: str, first: Iterable[Row], then: Iterable[Row]) -> str:
        for row in sorted(first, key=lambda row: -row[0].count(".")):  # the longest path wins
            renamed = _replace(name, row)
            if renamed is not None:
                name = renamed
                break
        for row in then:
            name = _replace(name, row) or name
        return name


@dataclass(frozen=True)
class Content:
    """What a file of a family holds.

    Attributes:
        layout: `original` or `diffusers`: whose names the file uses.
        version: generation of the autoencoder; empty where there is none.
        parts: part → our tensor name → name in the file.
        extra: names in the file that belong to no part.
    """

    layout: str
    version: str
    parts: Mapping[str, Mapping[str, str]]
    extra: tuple[str, ...] = ()


def prefix_of(shapes: Mapping[str, Shape], prefixes: Iterable[str], name: str) -> str | None:
    """The first of the prefixes that stands in front of this name in a file; None where none does."""
    return next((prefix for prefix in prefixes if f"{prefix}{name}" in shapes), None)


def under(names: Iterable[str], prefix: str, paths: tuple[str, ...] = ("",)) -> dict[str, str]:
    """Name without the prefix → name, of those whose rest begins with one of `paths`."""
    cut = {name[len(prefix) :]: name for name in names if name.startswith(prefix)}
    return {short: name for short, name in cut.items() if short.startswith(paths)}


def renamed(names: Mapping[str, str], keymap: KeyMap) -> dict[str, str]:
    """Our name → name in the file, of `under`'s names that anything reads."""
    return {ours: file for name, file in names.items() if (ours := keymap.ours(name)) is not None}


def count(shapes: Iterable[str], path: str) -> int:
    """How many numbered children `path` has, by the highest number."""
    start = f"{path}."
    numbers = {name[len(start) :].partition(".")[0] for name in shapes if name.startswith(start)}
    return max((int(number) for number in numbers if number.isdigit()), default=-1) + 1


def _swapped(rows: Iterable[Row]) -> tuple[Row, ...]:
    return tuple((ours, original) for original, ours in rows)


def _replace(name: str, row: Row) -> str | None:
    """`name` with the row's path exchanged, where it stands as whole segments; None where it does not."""
    old, new = row[0].lstrip("^"), row[1].lstrip("^")
    if row[0].startswith("^"):
        return new + name[len(old) :] if name == old or name.startswith(f"{old}.") else None
    whole = f".{name}."
    return whole.replace(f".{old}.", f".{new}.", 1)[1:-1] if f".{old}." in whole else None
