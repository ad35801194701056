"""A clip → frames: decoded by ffmpeg, upright, in square pixels, fitted and retimed on the way, streamed in chunks.

Memory does not grow with the length of the clip. Knows no model.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..errors import MediaError, UsageError
from .encode import rate, threads_of
from .facts import ClipFacts
from .ffmpeg import CLOSED, Pipe, file_url
from .filters import nearest, num_frames_at, picture, timing
from .probe import alpha_decoder, folder_frames, probe

_SEEKABLE = ("mp4", "mov", "mkv", "webm")
_RUN_UP = 32  # frames decoded before one that is sought, and a second at least: what it refers to, and its fields
_CHUNK = 1 << 26  # bytes, at most


def frames(
    path: str | os.PathLike[str],
    *,
    start: int = 0,
    count: int | None = None,
    size: tuple[int, int] | None = None,
    fps: Fraction | None = None,
    fit: str = "stretch",
    background: tuple[int, int, int] = (0, 0, 0),
    chunk: int = 16,
    threads: int | None = None,
    facts: ClipFacts | None = None,
) -> Iterator[np.ndarray]:
    """Streams the frames of a video, a GIF or a folder of PNG frames.

    Args:
        path: the clip.
        start: the first frame wanted, counted from 0 (after the change of rate, where `fps` is given).
        count: how many at most; None: all.
        size: (width, height) in pixels to bring it to; None: as shown.
        fps: frames a second to resample to: of an even rate the nearest frame in time, of an uneven one the frame
            that is seen then; None: every frame once.
        fit: `cover`, `contain` or `stretch`, as `fit.placed` has it.
        background: RGB, 0 to 255, behind what is transparent and in the bars of `contain`.
        chunk: frames a chunk at most; fewer where they are large.
        threads: for ffmpeg; default: its own choice.
        facts: of the clip, where `probe` was asked already.

    Yields:
        `(t, H, W, 3)` uint8 RGB, full range, upright, `1 <= t <= chunk`.

    Raises:
        UsageError: the file is missing or no video (raised at once, not at the first frame).
        MediaError: decoding failed, or ended before the clip does.
    """
    place = Path(path)
    known = facts if facts is not None else probe(place)
    width, height = size if size is not None else (known.width, known.height)
    if start < 0 or chunk < 1 or min(width, height) < 1 or (count is not None and count < 0):
        raise UsageError(f"no frames can be read from {start} on in chunks of {chunk} at {width}x{height}")
    there = num_frames_at(known, fps)
    end = there if count is None else min(there, start + count)
    first = _sought(known, start if fps is None else nearest(start, known, fps))
    source, run_up, cwd = _input(place, known, first)
    filters = [
        *(["bwdif=mode=send_frame:deint=interlaced"] if known.interlaced else []),
        *run_up,
        *timing(known, fps, first, start, end),
        *picture(known, (width, height), fit, background),
    ]
    out = ["-map", "0:V:0", "-fps_mode", "passthrough", "-vf", ",".join(filters), "-f", "rawvideo", "pipe:1"]
    return _stream([*threads_of(threads), *source, *out], cwd, (width, height), end - start, chunk)


def _sought(facts: ClipFacts, index: int) -> int:
    """The frame that reading begins at: the one wanted where ffmpeg finds it exactly, and the first elsewhere."""
    exact = facts.container == "png" or (facts.container in _SEEKABLE and not facts.variable_rate)
    return index if exact and index >= 2 * max(Fraction(_RUN_UP), facts.fps) else 0


def _input(place: Path, facts: ClipFacts, first: int) -> tuple[list[str], list[str], Path]:
    """ffmpeg's arguments for a clip from a frame on, the filter that drops the run-up to it, the folder to run in."""
    if place.is_dir():
        stem = folder_frames(place)[0].stem
        numbers = ["-f", "image2", "-framerate", rate(facts.fps), "-start_number", str(int(stem) + first)]
        return [*numbers, "-i", f"%0{len(stem)}d.png"], [], place
    decoder = alpha_decoder(facts.codec) if facts.has_alpha else []
    source = ["-i", file_url(place)]
    if not first:
        return [*CLOSED, *decoder, *source], [], Path.cwd()
    run_up = float(max(_RUN_UP / facts.fps, Fraction(1)))
    half_before = facts.start + float((first - Fraction(1, 2)) / facts.fps)
    seek = ["-ss", f"{half_before - run_up:.6f}"]
    return [*CLOSED, *decoder, *seek, *source], [f"trim=start={run_up:.6f}"], Path.cwd()


def _stream(arguments: list[str], cwd: Path, size: tuple[int, int], count: int, chunk: int) -> Iterator[np.ndarray]:
    width, height = size
    frame, left = width * height * 3, count
    chunk = max(min(chunk, _CHUNK // frame), 1)
    if left <= 0:
        return
    with Pipe(arguments, "reading the clip", feed=False, cwd=cwd) as pipe:
        while left:
            data = pipe.read(min(chunk, left) * frame)
            if len(data) < frame:
                break
            taken = len(data) // frame
            left -= taken
            yield np.frombuffer(data, np.uint8, taken * frame).reshape(taken, height, width, 3)
        else:
            pipe.abandon()
    if left:
        raise MediaError(f"the clip is damaged: {count - left} of {count} frames could be read; give the whole file")
