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

THUMBNAIL = 8  # cells across and down
_LUMA = np.array([0.2126, 0.7152, 0.0722])
_BLACK_PEAK = 16  # a picture without one brighter value is black to the eye
_SAMPLES = 160  # of the shorter side, at least, for a thumbnail


class Motion:
    """How a clip moves, by the values (0 to 255) of its thumbnails' cells.

    Attributes:
        steps: for every frame, the largest change of a cell from the frame before; a byte a frame.
        reach: the largest change of a cell from the first frame.
    """

    def __init__(self) -> None:
        self.steps = bytearray()
        self.reach = 0.0
        self._first: np.ndarray | None = None
        self._last: np.ndarray | None = None

    def see(self, thumbnail: np.ndarray) -> None:
        """Takes the next frame's thumbnail `(8, 8, 3)`."""
        cells = thumbnail.astype(np.float32)
        if self._first is None or self._last is None:
            self._first = self._last = cells
        self.steps.append(round(float(np.abs(cells - self._last).max())))
        self.reach = max(self.reach, float(np.abs(cells - self._first).max()))
        self._last = cells


def thumbnails(chunk: np.ndarray) -> np.ndarray:
    """Frames `(t, H, W, 3)` uint8 of any size → `(t, 8, 8, 3)` float; cells are means of samples."""
    step = max(min(chunk.shape[1:3]) // _SAMPLES, 1)
    cells = chunk[:, ::step, ::step]
    for axis in (1, 2):
        edges = np.arange(THUMBNAIL) * cells.shape[axis] // THUMBNAIL
        widths = np.maximum(np.diff(edges, append=cells.shape[axis]), 1)
        sums = np.add.reduceat(cells, edges, axis=axis, dtype=np.float32)
        cells = sums / np.expand_dims(widths, tuple(i for i in range(4) if i != axis))
    return cells


def luma(thumbnail: np.ndarray) -> float:
    """The mean luma of a thumbnail, 0 to 255."""
    return float(thumbnail.mean(axis=(0, 1)) @ _LUMA)


class Source:
    """Passes chunks through once and remembers what they were like.

    Attributes:
        count: frames passed so far.
        brightest: the highest mean luma of a frame, 0 to 255.
        peak: the highest value of any pixel, 0 to 255.
        moves: whether any frame differs from the first.
        motion: how the frames move.
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
        for picture in small:
            self.brightest = max(self.brightest, luma(picture))
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
