"""What a file that enters is known by: the hash of its bytes, or of the frames of a folder. Knows no recipe.

A file that has not changed, by its size and its time, is read once a process.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from .probe import folder_frames

_PIECE = 1 << 20  # bytes


def digest(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file, or of a folder's numbered frames in their order, as hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    place = Path(path)
    files = folder_frames(place) if place.is_dir() else [place]
    stats = [each.stat() for each in files]
    return _read(tuple((str(each.absolute()), s.st_size, s.st_mtime_ns) for each, s in zip(files, stats, strict=True)))


@lru_cache(maxsize=256)
def _read(files: tuple[tuple[str, int, int], ...]) -> str:
    found = hashlib.sha256()
    for path, _, _ in files:
        with open(path, "rb") as file:
            while piece := file.read(_PIECE):
                found.update(piece)
    return found.hexdigest()
