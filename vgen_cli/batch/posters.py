"""The pictures of the gallery: a small JPEG of every clip, from its middle. Knows clips, and no batch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..media.destination import Destination
from ..media.ffmpeg import CLOSED, file_url, run
from ..media.probe import folder_frames

_LONGEST = 480  # pixels


def make_poster(place: Destination, facts: dict[str, Any], target: Path, room: Path) -> None:
    """Makes the picture of a clip, whole or not at all.

    Args:
        facts: of the clip, its `duration` among them where it moves.
        target: where the picture goes.
        room: a folder of the same file system for a file on its way.

    Raises:
        OSError, MediaError: it cannot be made.
    """
    source, seek = place.path, []
    duration = facts.get("duration")
    if place.is_folder:
        frames = folder_frames(place.path)
        source = frames[len(frames) // 2]
    elif isinstance(duration, int | float) and duration > 0:
        seek = ["-ss", f"{duration / 2:.3f}"]
    target.parent.mkdir(exist_ok=True)
    fresh = room / f"{target.name}.{os.getpid()}.part"
    small = f"scale='if(gte(iw,ih),min({_LONGEST},iw),-2)':'if(gte(iw,ih),-2,min({_LONGEST},ih))':flags=area"
    try:
        run(
            [
                *("-loglevel", "error", *CLOSED, *seek, "-i", file_url(source), "-frames:v", "1", "-an"),
                *("-vf", f"{small},format=yuvj420p", "-q:v", "4", "-f", "mjpeg", file_url(fresh)),
            ],
            "making a picture for the gallery",
        )
        os.replace(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)
