"""A written clip, opened again: every frame and its sound decoded, and the facts held against what was asked.

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
from .source import THUMBNAIL, Motion, Source, luma
from .spec import EncodeSpec

_LIT, _DARK = 4.0, 1.0  # mean luma of the brightest frame: surely not black, surely black
_STRIDE, _STILL = 48, 1  # change of a cell: more than the coarsest encoder leaves out, none


def verify(
    path: Path, container: str, spec: EncodeSpec, source: Source, threads: int | None, *, sound: bool = False
) -> ClipFacts:
    """Reopens a clip and compares frames, size, rate, duration, light, motion and weight with what went in.

    Args:
        path: the finished file or folder, still in the workspace.
        source: the frames as they passed; a clip that was black or still itself may be so.
        sound: whether it shall have sound.

    Returns:
        The facts of the file.

    Raises:
        MediaError: it is not the clip that was asked for.
    """
    try:
        facts = probe(path)
    except UsageError as fault:
        raise _failed(f"it cannot be read back ({fault})") from None
    if sound != facts.has_audio:
        raise _failed("it has no sound" if sound else "it has sound, and none was given")
    frames, brightest, motion = _decode(path, threads, sound)
    for number in (frames, facts.num_frames):
        if number != spec.num_frames:
            raise _failed(f"it has {number} frames instead of {spec.num_frames}")
    width, height = facts.stored_width or facts.width, facts.stored_height or facts.height
    if (width, height) != (spec.width, spec.height):
        raise _failed(f"it is {width}x{height} instead of {spec.width}x{spec.height}")
    if not _rate_holds(facts.fps, spec.fps, container, spec.num_frames):
        raise _failed(f"it runs at {facts.fps} instead of {spec.fps} frames a second")
    slack = 0.5 / float(spec.fps) + (0.02 if container == "gif" else 0.0)
    if abs(facts.duration - float(spec.duration)) > slack:
        raise _failed(f"it lasts {facts.duration:g} s instead of {float(spec.duration):g} s")
    if source.brightest >= _LIT and brightest <= _DARK:
        raise _failed("it is black, and the frames were not")
    if stands := _stands_still(source.motion, motion):
        raise _failed(f"{stands}, and the frames moved")
    if spec.target_size is not None and facts.size_bytes > spec.target_size:
        raise _failed(f"it has {facts.size_bytes} bytes, and at most {spec.target_size} were asked")
    return facts


def _stands_still(given: Motion, found: Motion) -> str:
    """How a clip stands still where the source moved far: altogether, or in most of its strides; else ""."""
    if given.reach >= _STRIDE and found.reach <= _STILL:
        return "it is frozen"
    strides = [step for asked, step in zip(given.steps, found.steps, strict=True) if asked >= _STRIDE]
    repeated = sum(step <= _STILL for step in strides)
    return f"{repeated} of its frames repeat the one before" if 2 * repeated > len(strides) else ""


def _failed(why: str) -> MediaError:
    return MediaError(f"the written clip failed its check: {why}; nothing was kept")


def _rate_holds(found: Fraction, asked: Fraction, container: str, frames: int) -> bool:
    if container in ("mp4", "mov", "png"):
        return found == asked
    if container == "gif":  # whole hundredths of a second, one rounding over the whole clip
        return abs(frames / found - frames / asked) <= Fraction(2, 100)
    return abs(found / asked - 1) < Fraction(1, 100_000)  # Matroska keeps nanoseconds a frame


def _decode(path: Path, threads: int | None, sound: bool) -> tuple[int, float, Motion]:
    """Frames that decode, the mean luma (0 to 255) of the brightest, and how they move."""
    limit = threads_of(threads)
    if path.is_dir():
        digits = len(folder_frames(path)[0].stem)
        where, cwd = ["-f", "image2", "-start_number", "0", "-i", f"%0{digits}d.png"], path
    else:
        where, cwd = [*CLOSED, "-i", file_url(path)], path.parent
    small = f"scale={THUMBNAIL}:{THUMBNAIL}:flags=area,format=rgb24"
    out = ["-map", "0:V:0", "-fps_mode", "passthrough", "-vf", small, *limit, "-f", "rawvideo", "pipe:1"]
    heard = ["-map", "0:a:0", "-f", "null", "-"] if sound else []
    frames, brightest, motion = 0, 0.0, Motion()
    with Pipe([*limit, *where, *out, *heard], "reading the clip back", feed=False, cwd=cwd) as pipe:
        while data := pipe.read(3 * THUMBNAIL**2):
            picture = np.frombuffer(data, np.uint8).reshape(THUMBNAIL, THUMBNAIL, 3)
            frames += 1
            brightest = max(brightest, luma(picture))
            motion.see(picture)
    if complaint := last_line(pipe.messages):
        raise _failed(f"ffmpeg says {complaint!r}")
    return frames, brightest, motion
