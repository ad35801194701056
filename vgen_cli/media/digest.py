"""What a file that enters is known by: the hash of its bytes, or of the frames of a folder. Knows no recipe."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from .probe import folder_frames

_PIECE = 1 << 20  # bytes


def digest(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file, or of a folder's numbered frames in their order, as hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    place = Path(path)
    found = hashlib.sha256()
    for each in folder_frames(place) if place.is_dir() else [place]:
        with each.open("rb") as file:
            while piece := file.read(_PIECE):
                found.update(piece)
    return found.hexdigest()
