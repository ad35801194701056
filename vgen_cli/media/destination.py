"""Where a clip goes: the place checked before any work, a hidden room beside it, and the step that names it.

A file appears whole or not at all: it is written in a hidden temporary folder of the same directory, flushed,
and renamed. Knows neither ffmpeg nor numpy.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import MediaError, UsageError

EXTENSIONS = {".mp4": "mp4", ".mov": "mov", ".mkv": "mkv", ".webm": "webm", ".gif": "gif"}
STILLS = (".png", ".jpg", ".jpeg", ".webp")
_OUR_FRAMES = re.compile(r"\d{5,}\.png|recipe\.json|\.DS_Store")


@dataclass(frozen=True)
class Destination:
    """A place for one clip.

    Attributes:
        path: the file or folder; `-` for standard output.
        container: a key of `spec.CONTAINERS`; `png` for a folder of frames, `still` for a single picture.
    """

    path: Path
    container: str

    @property
    def is_stream(self) -> bool:
        """Whether the clip goes to standard output."""
        return str(self.path) == "-"

    @property
    def is_folder(self) -> bool:
        """Whether the clip is a folder of PNG frames."""
        return self.container == "png"

    @property
    def is_still(self) -> bool:
        """Whether the clip is a single picture."""
        return self.container == "still"

    def __str__(self) -> str:
        return "standard output" if self.is_stream else f"{self.path}{os.sep if self.is_folder else ''}"


def parse_destination(output: str | os.PathLike[str]) -> Destination:
    """Reads `-`, `folder/` or a file name with a known extension; touches no disk.

    Raises:
        UsageError: an empty name, or an extension that is not known.
    """
    text = os.fspath(output)
    if not text.strip() or "\0" in text:
        raise UsageError("the output has no name; give -o clip.mp4")
    if text == "-":
        return Destination(Path("-"), "mp4")
    if text.endswith(tuple(filter(None, ("/", os.sep, os.altsep)))):
        if Path(text).name in ("", ".."):
            raise UsageError(f"{text} cannot be replaced by a folder of frames; name one of its own: -o frames/")
        return Destination(Path(text), "png")
    path = Path(text)
    suffix = path.suffix.lower()
    container = "still" if suffix in STILLS else EXTENSIONS.get(suffix)
    if container is None:
        if path.is_dir():
            frames = "" if path.name in ("", "..") else f"{text}/ for PNG frames, or "
            raise UsageError(f"{text} is a folder; write {frames}{text}/clip.mp4")
        had = f"the extension {path.suffix!r}" if path.suffix else "no extension"
        raise UsageError(
            f"{text} has {had}; use {', '.join(EXTENSIONS)}, a folder ending in / for PNG frames, "
            f"or {', '.join(STILLS)} for a single picture"
        )
    return Destination(path, container)


def check_destination(output: str | os.PathLike[str] | Destination, *, overwrite: bool = False) -> Destination:
    """Whether a clip may and can be written there, before any work; a room beside it is made and removed.

    Raises:
        UsageError: unknown extension, missing or unwritable folder, a folder where a file is meant, something
            that exists and may not be overwritten, or a terminal as standard output.
    """
    destination = output if isinstance(output, Destination) else parse_destination(output)
    if destination.is_stream:
        if sys.stdout is not None and sys.stdout.isatty():
            raise UsageError("standard output is a terminal; pipe it (vgen … -o - | mpv -) or give -o clip.mp4")
        if getattr(sys.stdout, "name", None) == os.devnull:  # opened in place of one that was closed
            raise UsageError("standard output is closed; give -o clip.mp4, or leave it open")
        return destination
    _check_occupant(destination, overwrite)
    parent = destination.path.parent
    try:
        with _room(destination):
            pass
    except FileNotFoundError:
        if parent.is_dir():
            raise UsageError(f"{parent} takes no files; choose another folder") from None
        raise UsageError(f"the folder {parent} does not exist; make it first: mkdir -p {parent}") from None
    except NotADirectoryError:
        raise UsageError(f"{parent} is a file, not a folder; choose another -o") from None
    except OSError as fault:
        raise UsageError(f"{destination} cannot be written: {fault.strerror}; choose another -o") from None
    return destination


def _check_occupant(destination: Destination, overwrite: bool) -> None:
    path = destination.path
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as fault:
        raise UsageError(f"{destination} cannot be written: {fault.strerror}; choose another -o") from None
    if destination.is_folder:
        if not stat.S_ISDIR(mode):
            raise UsageError(f"{path} is no folder, so it cannot take frames; choose another -o")
        held = sorted(os.listdir(path))
        if held and not overwrite:
            raise UsageError(f"{destination} exists and is not empty; add --overwrite, or choose another -o")
        foreign = [name for name in held if not _OUR_FRAMES.fullmatch(name)]
        if foreign:
            raise UsageError(f"{destination} holds {foreign[0]!r}, which is no frame; choose another -o")
    elif stat.S_ISDIR(mode):
        raise UsageError(f"{path} is a folder; choose a file name")
    elif not overwrite:
        raise UsageError(f"{path} exists; add --overwrite, or choose another -o")
    elif not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        raise UsageError(f"{path} is no regular file, so it is not replaced; choose another -o")


@contextlib.contextmanager
def _room(destination: Destination) -> Iterator[Path]:
    if destination.is_stream:
        room = tempfile.mkdtemp(prefix="vgen-")
    else:
        room = tempfile.mkdtemp(prefix=f".{destination.path.name[:24]}.", suffix=".part", dir=destination.path.parent)
    try:
        yield Path(room).absolute()
    finally:
        shutil.rmtree(room, ignore_errors=True)


@contextlib.contextmanager
def workspace(destination: Destination) -> Iterator[Path]:
    """A hidden folder beside the destination (the system's, for a stream), gone at the end with all it holds.

    Raises:
        MediaError: the folder cannot be made.
    """
    with contextlib.ExitStack() as stack:
        try:
            room = stack.enter_context(_room(destination))
        except OSError as fault:
            raise MediaError(f"{destination} cannot be written: {fault.strerror}") from None
        yield room


@contextlib.contextmanager
def on_disk() -> Iterator[None]:
    """Turns a refusal of the disk, while a clip is being written, into a sentence."""
    try:
        yield
    except OSError as fault:
        raise MediaError(f"the clip cannot be written: {fault.strerror or fault}") from None


def publish(finished: Path, destination: Destination, *, overwrite: bool) -> None:
    """Flushes a finished file or folder to the disk and gives it its name in one step.

    Args:
        finished: inside the workspace of the same destination.

    Raises:
        MediaError: the disk refuses, or something took the place meanwhile and may not be overwritten.
    """
    path = destination.path
    try:
        if destination.is_folder:
            for frame in finished.iterdir():
                _flush(frame)
            _flush(finished)
            _swap_folder(finished, path, overwrite)
        else:
            _flush(finished)
            if overwrite:
                os.replace(finished, path)
            else:
                _name_once(finished, path)
        _flush(path.parent)
    except FileExistsError:
        raise MediaError(f"{destination} appeared while it was being made; nothing was overwritten") from None
    except OSError as fault:
        raise MediaError(f"{destination} cannot be written: {fault.strerror}") from None


def _name_once(finished: Path, path: Path) -> None:
    """Renames without ever replacing, where the file system can do so in one step."""
    try:
        os.link(finished, path)
    except FileExistsError:
        raise
    except OSError:  # no hard links here
        if os.path.lexists(path):
            raise FileExistsError(str(path)) from None
        os.rename(finished, path)


def _swap_folder(finished: Path, path: Path, overwrite: bool) -> None:
    if path.is_dir() and not any(path.iterdir()):
        path.rmdir()
    if not os.path.lexists(path):
        os.rename(finished, path)
        return
    if not overwrite:
        raise FileExistsError(str(path))
    aside = finished.with_name("replaced")
    os.rename(path, aside)
    try:
        os.rename(finished, path)
    except BaseException:
        os.rename(aside, path)
        raise


def _flush(path: Path) -> None:
    """Forces a file or folder to the disk; folders only where the system can."""
    is_folder = path.is_dir()
    try:
        handle = os.open(path, os.O_RDONLY if is_folder or os.name != "nt" else os.O_RDWR)
    except OSError:
        if is_folder:
            return
        raise
    try:
        os.fsync(handle)
    except OSError:
        if not is_folder:
            raise
    finally:
        os.close(handle)
