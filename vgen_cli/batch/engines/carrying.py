"""Files between machines that may or may not see the same disk: what enters a clip, and the clip when it is made.

A file is known to be here by its place, size and time; else it comes in pieces. A clip is made in a room beside its
final place where that can be seen, and only whoever ordered it gives it its name. Knows no network and no engine.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import MediaError
from ...media.destination import Destination, on_disk, publish, workspace
from ...media.metadata import SIDECAR
from ...media.probe import folder_frames
from ...pins import pin
from ...recipe import Recipe

PIECE = 4 << 20
"""Bytes of a file that travel at once."""
_ON_THE_WAY = 3  # pieces
_PROBE = "seen-from"
_PATHS = ("image", "last_image", "video", "mask", "control")
_SETTLED = 3600.0  # seconds after which an input that was used may go

Ask = Callable[..., Callable[[], Any]]
"""Asks the other side for something by a name and arguments; the answer is waited for when it is called."""


@dataclass(frozen=True)
class Input:
    """A file, or a folder of frames, that enters a clip.

    Attributes:
        path: as the recipe has it.
        at: where it lies, absolute.
        parts: of every file its name in the folder ("" for the one file), its size, and when it was changed.
    """

    path: str
    at: str
    parts: tuple[tuple[str, int, int], ...]

    @classmethod
    def of(cls, path: str) -> Input:
        """What lies here.

        Raises:
            OSError: nothing that can be read.
        """
        at = os.path.abspath(path)
        names = [""]
        if os.path.isdir(at):
            names = [frame.name for frame in folder_frames(Path(at))]
            names += [SIDECAR] if os.path.isfile(os.path.join(at, SIDECAR)) else []
        return cls(path, at, tuple((name, *_facts(at, name)) for name in names))

    @property
    def key(self) -> str:
        """What it is known by where it does not lie."""
        return hashlib.sha256(repr((self.at, self.parts)).encode()).hexdigest()[:24]

    def is_here(self) -> bool:
        """Whether this machine sees the very same."""
        try:
            return all(_facts(self.at, name) == tuple(facts) for name, *facts in self.parts)
        except OSError:
            return False


def _facts(at: str, name: str) -> tuple[int, int]:
    found = os.stat(os.path.join(at, name) if name else at)
    return found.st_size, found.st_mtime_ns


def moved(recipe: Recipe, places: Mapping[str, str]) -> Recipe:
    """The recipe with other paths of what enters: path → path."""
    changed: dict[str, Any] = {}
    for name in _PATHS:
        changed[name] = places.get(getattr(recipe, name), getattr(recipe, name))
    for name in ("images", "reference"):
        paths = getattr(recipe, name)
        changed[name] = paths and tuple(places.get(path, path) for path in paths)
    if recipe.image_at:
        pins = map(pin, recipe.image_at)
        changed["image_at"] = tuple(str(replace(each, path=places.get(each.path, each.path))) for each in pins)
    return replace(recipe, **changed)


class Store:
    """Inputs that came from elsewhere.

    Args:
        folder: that holds them; made when it is needed, and shared by the processes of a machine.
        limit: bytes; where they are more, those that were longest of no use go.
    """

    def __init__(self, folder: Path, limit: int = 8 << 30) -> None:
        self._folder, self._limit = folder, limit

    def place(self, given: Input) -> Path:
        """Where it lies, or will."""
        return self._folder / given.key / (Path(given.at).name or "input")

    def has(self, given: Input) -> bool:
        """Whether it is all there; it will stay for an hour then."""
        with contextlib.suppress(OSError):
            os.utime(self._folder / given.key)
            return True
        return False

    def put(self, given: Input, label: str, part: str, offset: int, data: bytes) -> None:
        """A piece of one of its files; the label says which sending it belongs to."""
        target = self._coming(given, label) / self.place(given).name / part
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("r+b" if target.exists() else "wb") as file:
            file.seek(offset)
            file.write(data)

    def complete(self, given: Input, label: str) -> None:
        """All of a sending has come."""
        coming = self._coming(given, label)
        with contextlib.suppress(OSError):  # another one was first
            coming.rename(self._folder / given.key)
        shutil.rmtree(coming, ignore_errors=True)
        self._shrink()

    def _coming(self, given: Input, label: str) -> Path:
        return self._folder / f".{given.key}.{os.getpid()}.{label}"

    def _shrink(self) -> None:
        kept = sorted((each.stat().st_mtime, each) for each in self._folder.iterdir() if each.name[0] != ".")
        sizes = [sum(file.stat().st_size for file in each.rglob("*") if file.is_file()) for _, each in kept]
        total = sum(sizes)
        for (used, each), size in zip(kept, sizes, strict=True):
            if total <= self._limit or used > time.time() - _SETTLED:
                return
            shutil.rmtree(each, ignore_errors=True)
            total -= size


def send(given: Input, label: str, ask: Ask) -> None:
    """Puts an input into the store on the other side, by its `put` and `complete`.

    Raises:
        OSError: it cannot be read any more.
    """
    answers: deque[Callable[[], Any]] = deque()
    for name, _, _ in given.parts:
        for offset, data in pieces(Path(given.at) / name if name else Path(given.at)):
            answers.append(ask("put", given, label, name, offset, data))
            if len(answers) >= _ON_THE_WAY:
                answers.popleft()()
    for answer in answers:
        answer()
    ask("complete", given, label)()


def pieces(path: Path) -> Iterator[tuple[int, bytes]]:
    """A file piece by piece, each with where it begins; one empty piece of an empty file."""
    offset = 0
    with path.open("rb") as file:
        while (data := file.read(PIECE)) or not offset:
            yield offset, data
            offset += len(data) or 1


@dataclass(frozen=True)
class Made:
    """A clip that was made and has not been given its name.

    Attributes:
        path: of the file or folder, in a folder of its own, on the machine that made it.
        seen: whether it lies in the room beside its final place.
        parts: of every file its name in the folder ("" for the one file), its size and SHA-256; none where seen.
    """

    path: str
    seen: bool
    parts: tuple[tuple[str, int, str], ...] = ()

    @classmethod
    def at(cls, path: Path, *, seen: bool) -> Made:
        """What lies there."""
        if seen:
            return cls(str(path), True)
        names = sorted(each.name for each in path.iterdir()) if path.is_dir() else [""]
        files = [(name, path / name if name else path) for name in names]
        return cls(str(path), False, tuple((name, file.stat().st_size, _digest(file)) for name, file in files))

    def piece(self, part: str, offset: int) -> bytes:
        """Bytes of one of its files, `PIECE` at most."""
        with (Path(self.path) / part if part else Path(self.path)).open("rb") as file:
            file.seek(offset)
            return file.read(PIECE)


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    for _, data in pieces(path):
        found.update(data)
    return found.hexdigest()


def bring(made: Made, place: Destination, ask: Ask, *, overwrite: bool) -> None:
    """Gives a made clip its name, in one step; fetched before by the other side's `piece` where it cannot be seen.

    Raises:
        MediaError: the disk refuses, the place was taken meanwhile, or the clip was damaged on its way.
    """
    if made.seen:
        publish(Path(made.path), place, overwrite=overwrite)
        shutil.rmtree(Path(made.path).parent, ignore_errors=True)
        return
    with workspace(place) as room:
        target = room / Path(made.path).name
        if made.parts and made.parts[0][0]:
            target.mkdir()
        for part, size, digest in made.parts:
            _fetch(made, part, size, digest, target / part if part else target, ask)
        publish(target, place, overwrite=overwrite)


def _fetch(made: Made, part: str, size: int, digest: str, target: Path, ask: Ask) -> None:
    found = hashlib.sha256()
    offsets = deque(range(0, size, PIECE))
    answers = deque(ask("piece", made, part, offsets.popleft()) for _ in range(min(_ON_THE_WAY, len(offsets))))
    with on_disk(), target.open("wb") as file:
        while answers:
            data = answers.popleft()()
            if offsets:
                answers.append(ask("piece", made, part, offsets.popleft()))
            found.update(data)
            file.write(data)
    if found.hexdigest() != digest:
        raise MediaError(f"{Path(made.path).name} was damaged on its way here; nothing was kept")


class Rooms:
    """Hidden folders beside the places of clips, each with a token by which another machine knows that it sees it."""

    def __init__(self) -> None:
        self._token = uuid.uuid4().hex
        self._made: dict[Path, str] = {}

    def beside(self, place: Destination) -> tuple[str, str]:
        """The room beside a place, absolute, and its token; one for all places of a folder.

        Raises:
            MediaError: it cannot be made.
        """
        folder = Path(os.path.abspath(place.path.parent))
        if folder not in self._made:
            with on_disk():  # called as a clip's own would be, so that what a kill leaves is known for what it is
                room = tempfile.mkdtemp(prefix=f".{place.path.name[:24]}.", suffix=".part", dir=folder)
                self._made[folder] = room
                (Path(room) / _PROBE).write_text(self._token, "ascii")
        return self._made[folder], self._token

    def clear(self) -> None:
        """Away with them and all that was not named."""
        for room in self._made.values():
            shutil.rmtree(room, ignore_errors=True)
        self._made.clear()


def entered(room: str, token: str, name: str) -> Path | None:
    """A new folder in a room that another machine made; None where it is not to be seen or written to from here."""
    try:
        if (Path(room) / _PROBE).read_text("ascii") != token:
            return None
        folder = Path(room) / name
        folder.mkdir()
    except (OSError, ValueError):
        return None
    return folder


def inputs(paths: Iterable[str]) -> tuple[Input, ...]:
    """What lies at the paths of a recipe, each once.

    Raises:
        MediaError: one of them is there no more.
    """
    try:
        return tuple(map(Input.of, dict.fromkeys(paths)))
    except OSError as fault:
        raise MediaError(f"{fault.filename} cannot be read: {fault.strerror}") from None
