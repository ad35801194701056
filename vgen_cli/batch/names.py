"""Where each clip of a batch goes: a name from the row or from a template, always inside one folder.

Knows recipes and destinations. Makes no folder and touches no disk, but for `check_out_dir`.
"""

from __future__ import annotations

import os
import re
import string
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath, PureWindowsPath

from ..errors import UsageError
from ..media.destination import EXTENSIONS, Destination, parse_destination
from ..quantities import quoted
from ..recipe import Recipe, near
from .outdir import is_ours

TEMPLATE = "{index:04d}-{slug}-{seed}"
FRAMES = "frames"  # as a format: a folder of PNG frames
FORMATS = (*(extension.removeprefix(".") for extension in EXTENSIONS), FRAMES)
"""What --format may be."""

_OF_THE_ROW = ("index", "line", "slug")
_SPEC = re.compile(r"[<>^]?0?\d{0,2}(\.\d{1,2})?[dgs]?")
_LONGEST = 240  # bytes of one name, which leaves room for an extension


@dataclass(frozen=True)
class Namer:
    """How the clips of a batch are called.

    Attributes:
        folder: that holds them all.
        template: a name with fields in braces: `index` of the row, its `line`, a `slug` of its prompt, and every
            key of a recipe.
        slug: a recipe → its prompt, or what enters, as part of a name.
        extension: a recipe → that of its file where none is asked, such as `mp4`.

    Raises:
        UsageError: a template that no row could fill in.
    """

    folder: Path
    slug: Callable[[Recipe], str]
    extension: Callable[[Recipe], str]
    template: str = TEMPLATE

    def __post_init__(self) -> None:
        known = (*_OF_THE_ROW, *(field.name for field in fields(Recipe)))
        for name, spec in self._parts():
            if name not in known:
                hint = near(name, known) or "such as {index}, {line}, {slug}, {seed}, {model}, {width}; "
                raise UsageError(f"--name-template: {quoted(name)} is no field; {hint}write {{{{ for a brace")
            if not _SPEC.fullmatch(spec):
                raise UsageError(f"--name-template: {quoted(spec)} is no way to write {name}; such as {{index:04d}}")

    def _parts(self) -> Iterator[tuple[str, str]]:
        try:
            for _, name, spec, conversion in string.Formatter().parse(self.template):
                if name is not None:
                    yield f"{name}!{conversion}" if conversion else name, spec or ""
        except ValueError as fault:
            raise UsageError(f"--name-template {quoted(self.template)} cannot be read: {fault}") from None

    def place(
        self, recipe: Recipe, index: int, line: int, *, name: str | None, format: str | None, several: bool
    ) -> Destination:
        """The place of a clip.

        Args:
            index, line: of the row.
            name: asked for by the row; else the template makes it.
            format: one of `FORMATS`, for a name without an extension.
            several: whether the row has more clips than this one, so that an asked name needs the seed.

        Raises:
            UsageError: a name that leads out of the folder, or that cannot be a file.
        """
        if name is None:
            name = self._filled(recipe, index, line)
        elif several:
            name = _with_seed(name.strip(), recipe.seed)
        path = _inside(self.folder, name.strip())
        if not (path.endswith("/") or re.search(r"\.[A-Za-z][A-Za-z0-9]{1,4}$", path)):
            chosen = format or self.extension(recipe)
            path = f"{path}/" if chosen == FRAMES else f"{path}.{chosen}"
        return parse_destination(path)

    def _filled(self, recipe: Recipe, index: int, line: int) -> str:
        values: dict[str, object] = {"index": index, "line": line, "slug": self.slug(recipe)}
        for name, _ in self._parts():
            value = values[name] if name in values else getattr(recipe, name)
            if value is None:
                raise UsageError(f"--name-template wants {name}, which is not said; say it, or leave the field out")
            values[name] = value if name in _OF_THE_ROW else _plain(value)
        try:
            return self.template.format_map(values)
        except ValueError as fault:
            raise UsageError(f"--name-template {quoted(self.template)} cannot be filled in: {fault}") from None


def _plain(value: object) -> object:
    """A value of a recipe as part of a name, without what parts folders."""
    if isinstance(value, int | float):
        return value
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return re.sub(r"[\\/:\s]+", "-", text).strip("-.")


def _with_seed(name: str, seed: int | None) -> str:
    stem, extension = os.path.splitext(name.rstrip("/"))
    return f"{stem}-{seed}{extension}" + ("/" if name.endswith("/") else "")


def check_format(value: object) -> str:
    """One of `FORMATS`, with or without its dot.

    Raises:
        UsageError: something else.
    """
    name = str(value).strip().lower().removeprefix(".")
    if name not in FORMATS:
        raise UsageError(f"format: {quoted(value)} is unknown; {near(name, FORMATS)}choose from {', '.join(FORMATS)}")
    return name


def _inside(folder: Path, name: str) -> str:
    """The path of a name in the folder, as text with its closing stroke."""
    parts = PurePosixPath(name).parts
    foreign = PureWindowsPath(name)
    if not parts or ".." in parts or foreign.is_absolute() or foreign.drive or foreign.root or "\\" in name:
        raise UsageError(f"the name {quoted(name)} leads out of {folder}; give a file name such as hero.mp4")
    if any(not part.isprintable() or len(part.encode(errors="replace")) > _LONGEST for part in parts):
        raise UsageError(f"the name {quoted(name)} is no file name: too long, or not printable")
    if is_ours(parts[0]):
        raise UsageError(f"the name {quoted(name)} is kept for what lies beside the clips; give another")
    return os.path.join(folder, *parts) + ("/" if name.endswith("/") else "")


def same(places: Iterable[Destination]) -> Iterator[tuple[int, int]]:
    """Pairs of positions whose places are the same file, on any file system, or one inside the other's folder.

    The first of a pair is the one that came earlier.
    """
    taken: dict[str, int] = {}
    above: dict[str, int] = {}
    for position, place in enumerate(places):
        name = unicodedata.normalize("NFC", str(place.path)).casefold()
        parents = [str(parent) for parent in Path(name).parents]
        other = taken.get(name, above.get(name, next((taken[each] for each in parents if each in taken), None)))
        if other is not None:
            yield other, position
            continue
        taken[name] = position
        for each in parents:
            above.setdefault(each, position)


def check_out_dir(folder: Path) -> None:
    """Whether the folder can be made, or files in it; nothing is left behind.

    Raises:
        UsageError: it cannot.
    """
    held = folder
    while not os.path.lexists(held) and held != held.parent:
        held = held.parent
    try:
        with tempfile.TemporaryDirectory(prefix=".vgen-", dir=held):
            pass
    except NotADirectoryError:
        raise UsageError(f"{held} is a file, not a folder; choose another --out-dir") from None
    except OSError as fault:
        raise UsageError(f"{folder} cannot be written: {fault.strerror}; choose another --out-dir") from None
