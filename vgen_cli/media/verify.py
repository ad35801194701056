"""A written clip, opened again: every frame decoded, and the facts held against what was asked.

Knows specs and files, and not how the clip was made.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from ..errors import MediaError, UsageError
from .encode import threads_of
from .ffmpeg import CLOSED, Pipe, file_url, last_line
from .probe import ClipFacts, folder_frames, probe
from .source import Source
from .spec import EncodeSpec

_THUMBNAIL = 16
_LIT, _DARK = 4.0, 1.0  # mean luma of the brightest frame: surely not black, surely black


def verify(path: Path, container: str, spec: EncodeSpec, source: Source, threads: int | None) -> ClipFacts:
    """Reopens a clip and compares frames, size, rate, duration and light with what went in.

    Args:
        path: the finished file or folder, still in the workspace.
        source: the frames as they passed; a clip that was black itself may be black.

    Returns:
        The facts of the file.

    Raises:
        MediaError: it is not the clip that was asked for.
    """
    try:
        facts = probe(path)
    except UsageError as fault:
        raise _failed(f"it cannot be read back ({fault})") from None
    frames, brightest = _decode(path, threads)
    for number in (frames, facts.num_frames):
        if number != spec.num_frames:
            raise _failed(f"it has {number} frames instead of {spec.num_frames}")
    if (facts.width, facts.height) != (spec.width, spec.height):
        raise _failed(f"it is {facts.width}x{facts.height} instead of {spec.width}x{spec.height}")
    if not _rate_holds(facts.fps, spec.fps, container, spec.num_frames):
        raise _failed(f"it runs at {facts.fps} instead of {spec.fps} frames a second")
    slack = 0.5 / float(spec.fps) + (0.02 if container == "gif" else 0.0)
    if abs(facts.duration - float(spec.duration)) > slack:
        raise _failed(f"it lasts {facts.duration:g} s instead of {float(spec.duration):g} s")
    if source.brightest >= _LIT and brightest <= _DARK:
        raise _failed("it is black, and the frames were not")
    return facts


def _failed(why: str) -> MediaError:
    return MediaError(f"the written clip failed its check: {why}; nothing was kept")


def _rate_holds(found: Fraction, asked: Fraction, container: str, frames: int) -> bool:
    if container in ("mp4", "mov", "png"):
        return found == asked
    if container == "gif":  # whole hundredths of a second, one rounding over the whole clip
        return abs(frames / found - frames / asked) <= Fraction(2, 100)
    return abs(found / asked - 1) < Fraction(1, 100_000)  # Matroska keeps nanoseconds a frame


def _decode(path: Path, threads: int | None) -> tuple[int, float]:
    """Frames that decode, and the mean luma (0 to 255) of the brightest."""
    limit = threads_of(threads)
    if path.is_dir():
        digits = len(folder_frames(path)[0].stem)
        where, cwd = ["-f", "image2", "-start_number", "0", "-i", f"%0{digits}d.png"], path
    else:
        where, cwd = [*CLOSED, "-i", file_url(path)], path.parent
    small = f"scale={_THUMBNAIL}:{_THUMBNAIL}:flags=area,format=gray"
    out = ["-map", "0:V:0", "-fps_mode", "passthrough", "-vf", small, *limit, "-f", "rawvideo", "pipe:1"]
    frames, brightest = 0, 0.0
    with Pipe([*limit, *where, *out], "reading the clip back", feed=False, cwd=cwd) as pipe:
        while picture := pipe.read(_THUMBNAIL**2):
            frames += 1
            brightest = max(brightest, float(np.frombuffer(picture, np.uint8).mean()))
    if complaint := last_line(pipe.messages):
        raise _failed(f"ffmpeg says {complaint!r}")
    return frames, brightest
