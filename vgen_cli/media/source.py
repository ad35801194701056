"""Frames on their way into ffmpeg: shape and count checked, light and motion noted, nothing kept.

Knows arrays, and neither codecs nor files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from ..errors import MediaError
from .ffmpeg import Pipe
from .spec import EncodeSpec

THUMBNAIL = 16  # cells across and down
_LUMA = np.array([0.2126, 0.7152, 0.0722])
_BLACK_PEAK = 16  # a picture without one brighter value is black to the eye
_SAMPLES = 160  # of the shorter side, at least, for a thumbnail


class Motion:
    """How far every frame is from the one before: the largest change of luma of a thumbnail's cell, 0 to 255."""

    def __init__(self) -> None:
        self.steps = bytearray()
        self._last: np.ndarray | None = None

    def see(self, thumbnail: np.ndarray) -> None:
        """Takes the next frame's thumbnail `(16, 16)`, 0 to 255."""
        step = 0.0 if self._last is None else np.abs(thumbnail.astype(np.float32) - self._last).max()
        self.steps.append(round(float(step)))
        self._last = thumbnail.astype(np.float32)


def thumbnails(chunk: np.ndarray) -> np.ndarray:
    """Luma of 16 by 16 cells, `(t, H, W, 3)` uint8 → `(t, 16, 16)` float; cells are means of samples."""
    step = max(min(chunk.shape[1:3]) // _SAMPLES, 1)
    cells = chunk[:, ::step, ::step]
    for axis in (1, 2):
        edges = np.arange(THUMBNAIL) * cells.shape[axis] // THUMBNAIL
        widths = np.maximum(np.diff(edges, append=cells.shape[axis]), 1)
        sums = np.add.reduceat(cells, edges, axis=axis, dtype=np.float32)
        cells = sums / np.expand_dims(widths, tuple(i for i in range(4) if i != axis))
    return cells @ _LUMA


class Source:
    """Passes chunks through once and remembers what they were like.

    Attributes:
        count: frames passed so far.
        brightest: the highest mean luma of a frame, 0 to 255.
        peak: the highest value of any pixel, 0 to 255.
        moves: whether any frame differs from the first.
        motion: for every frame, how far it is from the one before (see `Motion`); a byte a frame.
    """

    def __init__(
        self,
        chunks: Iterable[np.ndarray],
        spec: EncodeSpec,
        on_frames: Callable[[int, int], None] | None = None,
    ) -> None:
        """Wraps chunks `(t, H, W, 3)` uint8; `on_frames(done, total)` is called after each was taken in."""
        self._chunks, self._spec, self._on_frames = chunks, spec, on_frames
        self.count = 0
        self.brightest = 0.0
        self.peak = 0
        self.moves = False
        self.motion = Motion()
        self._first: np.ndarray | None = None

    @property
    def is_black(self) -> bool:
        """Whether the clip is black to the eye from beginning to end."""
        return self.peak <= _BLACK_PEAK

    def __iter__(self) -> Iterator[np.ndarray]:
        """Chunks, contiguous.

        Raises:
            MediaError: more or fewer frames than the spec says.
        """
        total = self._spec.num_frames
        for chunk in self._chunks:
            expected = (self._spec.height, self._spec.width, 3)
            assert chunk.dtype == np.uint8, f"frames are uint8, not {chunk.dtype}"
            assert chunk.ndim == 4, f"chunks are (t, H, W, 3), not {chunk.shape}"
            assert chunk.shape[1:] == expected, f"frames are {expected}, not {chunk.shape[1:]}"
            if not len(chunk):
                continue
            if self.count + len(chunk) > total:
                raise MediaError(f"the clip has more than its {total} frames; nothing was written")
            self._note(chunk)
            self.count += len(chunk)
            yield np.ascontiguousarray(chunk)
            if self._on_frames is not None:
                self._on_frames(self.count, total)
        if self.count != total:
            raise MediaError(f"the clip ended after {self.count} of {total} frames; nothing was written")

    def _note(self, chunk: np.ndarray) -> None:
        self.peak = max(self.peak, int(chunk.max()))
        small = thumbnails(chunk)
        self.brightest = max(self.brightest, float(small.mean(axis=(1, 2)).max()))
        for picture in small:
            self.motion.see(picture)
        if self._first is None:
            self._first = chunk[0].copy()
        if not self.moves:
            self.moves = any(not np.array_equal(frame, self._first) for frame in chunk)


def feed(arguments: list[str], source: Source, room: Path) -> None:
    """Sends every frame of a source into an ffmpeg that runs in `room`.

    Raises:
        FfmpegError: ffmpeg ended badly.
        MediaError: the source has the wrong number of frames; ffmpeg is killed then, as on any exception.
    """
    with Pipe(arguments, "encoding the clip", feed=True, cwd=room) as pipe:
        for chunk in source:
            pipe.write(chunk.data.cast("B"))
