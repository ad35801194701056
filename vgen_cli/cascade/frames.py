"""From the pieces that the decoder makes to the frames of the file: bytes, cropped, at the file's rate, joined.

A stream in, a stream out; only the few frames that are still needed are kept. Knows no model and no encoder.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from typing import IO

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..errors import RunError

Frames = np.ndarray
"""A piece of a clip, `(t, H, W, 3)` uint8."""


def to_bytes(pieces: Iterable[Tensor]) -> Iterator[Frames]:
    """`(1, 3, t, H, W)` in [-1, 1] → `(t, H, W, 3)` uint8, rounded to the nearest."""
    for piece in pieces:
        levels = (piece[0].float() / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
        yield np.ascontiguousarray(levels.permute(1, 2, 3, 0).cpu().numpy())


def to_tensor(frames: Frames) -> Tensor:
    """`(t, H, W, 3)` uint8 → `(1, 3, t, H, W)` float32 in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(3, 0, 1, 2)[None].float() / 127.5 - 1


def resized(piece: Tensor, height: int, width: int) -> Tensor:
    """`(1, 3, t, H, W)` at another size, bilinear between pixel centres and without a filter before it.

    Source: LTX-Video, for what it makes in two passes and for what enters them.
    """
    if piece.shape[3:] == (height, width):
        return piece
    frames = functional.interpolate(piece[0].transpose(0, 1), (height, width), mode="bilinear")
    return frames.transpose(0, 1)[None]


def cropped(pieces: Iterable[Frames], height: int, width: int) -> Iterator[Frames]:
    """The middle `height` x `width` of every frame."""
    for piece in pieces:
        top, left = (piece.shape[1] - height) // 2, (piece.shape[2] - width) // 2
        yield np.ascontiguousarray(piece[:, top : top + height, left : left + width])


def padded(frames: Frames, height: int, width: int) -> Frames:
    """Frames in the middle of a larger size, their borders repeated outwards."""
    down, across = height - frames.shape[1], width - frames.shape[2]
    if not down and not across:
        return frames
    rows, columns = (down // 2, down - down // 2), (across // 2, across - across // 2)
    return np.pad(frames, ((0, 0), rows, columns, (0, 0)), mode="edge")


def windows(pieces: Iterable[Frames], length: int, overlap: int, count: int) -> Iterator[Frames]:
    """A stream cut into `count` windows of `length` frames that share `overlap` frames with the one before.

    The last frame is repeated where the stream ends too soon.
    """
    waiting = iter(pieces)
    held = next(waiting)
    last = held[-1:]
    for _ in range(count):
        parts = [held]
        missing = length - len(held)
        while missing > 0 and (piece := next(waiting, None)) is not None:
            parts.append(piece)
            missing -= len(piece)
            last = piece[-1:]
        parts.append(np.repeat(last, max(0, missing), axis=0))
        whole = np.concatenate(parts)
        yield whole[:length]
        held = whole[length - overlap :]


def joined(clips: Iterable[Iterable[Frames]], overlap: int) -> Iterator[Frames]:
    """Clips one after another, the last `overlap` frames of each cross-faded into the first of the next.

    The last of them is the next clip's alone, so where one frame is shared, it is the next clip's.
    """
    tail: Frames | None = None
    for clip in clips:
        kept = Tail(overlap)
        index = 0
        for piece in clip:
            if tail is not None and index < overlap:
                piece = _faded(tail, piece, index, overlap)
            index += len(piece)
            yield from kept.passed(piece)
        tail = kept.frames
    if tail is not None and len(tail):
        yield tail


class Tail:
    """Holds back the last `count` frames of a stream."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.frames: Frames | None = None

    def passed(self, piece: Frames) -> Iterator[Frames]:
        """What comes out when a piece goes in."""
        whole = piece if self.frames is None else np.concatenate((self.frames, piece))
        ready = len(whole) - self.count
        self.frames = whole[max(0, ready) :].copy()
        if ready > 0:
            yield whole[:ready]

    def noted(self, pieces: Iterable[Frames]) -> Iterator[Frames]:
        """The stream as it is; its last frames are in `frames` once it has ended."""
        for piece in pieces:
            for _ in self.passed(piece):
                pass
            yield piece


class Head:
    """Keeps the first `count` frames of a stream."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.frames: Frames | None = None

    def noted(self, pieces: Iterable[Frames]) -> Iterator[Frames]:
        """The stream as it is; its first frames are in `frames` once it has ended."""
        for piece in pieces:
            have = 0 if self.frames is None else len(self.frames)
            if have < self.count:
                more = piece[: self.count - have].copy()
                self.frames = more if self.frames is None else np.concatenate((self.frames, more))
            yield piece


def turned(clips: Iterable[Iterable[Frames]], count: int) -> Iterator[Iterator[Frames]]:
    """So many clips in the opposite order; those that must wait for a later one do so in a file that vanishes.

    Each must be taken to its end before the next one is asked for.

    Raises:
        RunError: there is no room for them in the folder for temporary files.
    """
    with ExitStack() as stack:
        waiting: list[Iterator[Frames]] = []
        for number, clip in enumerate(clips, 1):
            if number == count:
                yield iter(clip)
            else:
                with _room():
                    file = stack.enter_context(tempfile.TemporaryFile(prefix="vgen-"))
                waiting.append(_kept(clip, file))
        yield from reversed(waiting)


def _kept(clip: Iterable[Frames], file: IO[bytes]) -> Iterator[Frames]:
    """A clip written to a file now; the same, read when it is asked for."""
    shapes = []
    for piece in clip:
        with _room():
            file.write(np.ascontiguousarray(piece).data)
        shapes.append(piece.shape)
    with _room():
        file.seek(0)
    return (np.frombuffer(file.read(math.prod(shape)), np.uint8).reshape(shape) for shape in shapes)


@contextmanager
def _room() -> Iterator[None]:
    """What is done to a file for a while; raises RunError where the disk refuses."""
    try:
        yield
    except OSError as fault:
        place = tempfile.gettempdir()
        raise RunError(f"frames cannot be kept in {place}: {fault.strerror}; make room there, or set TMPDIR") from None


def _faded(before: Frames, piece: Frames, index: int, overlap: int) -> Frames:
    """A piece that begins at `index` of an overlap, with what was there `before` mixed in, less from frame to frame."""
    count = min(len(piece), overlap - index)
    share = (np.arange(index + 1, index + count + 1, dtype=np.float32) / overlap)[:, None, None, None]
    mixed = before[index : index + count] * (1 - share) + piece[:count] * share
    return np.concatenate((np.round(mixed).astype(np.uint8), piece[count:]))


def at_rate(
    pieces: Iterable[Frames], made: Fraction, wanted: Fraction, skip: Fraction = Fraction(0)
) -> Iterator[Frames]:
    """The clip at another rate and the same speed, from the time of its frame `skip` on.

    Going down, each frame is the one nearest in time: no frame is a mixture, and none is off by more than half a
    frame of the faster clip. Going up, frames between two are blended by their distance in time.
    """
    step, position, index = made / wanted, skip, 0
    last: Frames | None = None
    for piece in pieces:
        for frame in piece:
            # `frame` is number `index`, `last` the one before; everything up to it can be given out.
            while position <= index:
                if last is None or position == index:
                    yield frame[None]
                else:
                    yield _between(last, frame, position - (index - 1), blend=wanted > made)[None]
                position += step
            last, index = frame, index + 1
    # A clip lasts one frame time beyond its last frame.
    while last is not None and position < index:
        yield last[None]
        position += step


def _between(before: Frames, after: Frames, share: Fraction, *, blend: bool) -> Frames:
    if not blend:
        return after if share > Fraction(1, 2) else before
    weight = np.float32(share)
    mixed = before * (1 - weight) + after * weight
    return np.round(mixed).astype(np.uint8)


def first(pieces: Iterable[Frames], count: int) -> Iterator[Frames]:
    """The first `count` frames, 1 or more; nothing that comes after them is waited for."""
    for piece in pieces:
        yield piece[:count]
        count -= len(piece)
        if count <= 0:
            return
