"""A clip → frames: decoded by ffmpeg, turned upright, resized and retimed on the way, streamed in chunks.

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
from .ffmpeg import CLOSED, Pipe, file_url
from .probe import ClipFacts, folder_frames, folder_rate, probe

_HD_HEIGHT = 720


def frames(
    path: str | os.PathLike[str],
    *,
    start: int = 0,
    count: int | None = None,
    size: tuple[int, int] | None = None,
    fps: Fraction | None = None,
    chunk: int = 16,
    threads: int | None = None,
    facts: ClipFacts | None = None,
) -> Iterator[np.ndarray]:
    """Streams the frames of a video, a GIF or a folder of PNG frames.

    Args:
        path: the clip.
        start: the first frame wanted, counted from 0 (after the change of rate, where `fps` is given).
        count: how many at most; None: all.
        size: (width, height) in pixels to scale to, stretching if need be; None: as shown.
        fps: frames a second to resample to (nearest frames); None: every frame once.
        chunk: frames a chunk at most.
        threads: for ffmpeg; default: its own choice.
        facts: of the clip, where `probe` was asked already.

    Yields:
        `(t, H, W, 3)` uint8 RGB, full range, upright, `1 <= t <= chunk`.

    Raises:
        UsageError: the file is missing or no video (raised at once, not at the first frame).
        MediaError: decoding failed.
    """
    place = Path(path)
    known = facts if facts is not None else probe(place)
    width, height = size if size is not None else (known.width, known.height)
    if start < 0 or chunk < 1 or min(width, height) < 1 or (count is not None and count < 0):
        raise UsageError(f"no frames can be read from {start} on in chunks of {chunk} at {width}x{height}")
    return _stream(_arguments(place, known, (width, height), start, count, fps, threads), width, height, count, chunk)


def _arguments(
    place: Path,
    facts: ClipFacts,
    size: tuple[int, int],
    start: int,
    count: int | None,
    fps: Fraction | None,
    threads: int | None,
) -> tuple[list[str], Path]:
    """ffmpeg's arguments and the folder to run it in."""
    if place.is_dir():
        digits = len(folder_frames(place)[0].stem)
        source = ["-f", "image2", "-framerate", rate(folder_rate(place)), "-start_number", "0"]
        source, cwd = [*source, "-i", f"%0{digits}d.png"], place
    else:
        source, cwd = [*CLOSED, "-i", file_url(place)], Path.cwd()
    filters = [] if fps is None else [f"fps={rate(fps)}"]
    if start or count is not None:
        end = "" if count is None else f":end_frame={start + max(count, 1)}"
        filters.append(f"trim=start_frame={start}{end}")
    matrix = ":in_color_matrix=bt709" if facts.color_space is None and facts.height >= _HD_HEIGHT else ""
    filters.append(
        f"scale={size[0]}:{size[1]}:out_range=pc{matrix}:flags=lanczos+accurate_rnd+full_chroma_int+full_chroma_inp"
    )
    out = ["-map", "0:V:0", "-fps_mode", "passthrough", "-vf", ",".join([*filters, "format=rgb24"])]
    return [*threads_of(threads), *source, *out, "-f", "rawvideo", "pipe:1"], cwd


def _stream(
    command: tuple[list[str], Path], width: int, height: int, count: int | None, chunk: int
) -> Iterator[np.ndarray]:
    if count == 0:
        return
    arguments, cwd = command
    frame, left = width * height * 3, count
    with Pipe(arguments, "reading the clip", feed=False, cwd=cwd) as pipe:
        while left is None or left > 0:
            wanted = chunk if left is None else min(chunk, left)
            data = pipe.read(wanted * frame)
            if len(data) % frame:
                raise MediaError("the clip ended in the middle of a frame")
            if not data:
                break
            taken = len(data) // frame
            left = None if left is None else left - taken
            yield np.frombuffer(data, np.uint8).reshape(taken, height, width, 3)
        else:
            pipe.abandon()
