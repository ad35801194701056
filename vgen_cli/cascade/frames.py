"""From the pieces that the decoder makes to the frames of the file: bytes, cropped, at the file's rate.

A stream in, a stream out; at most two frames are kept. Knows no model and no encoder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

Frames = np.ndarray
"""A piece of a clip, `(t, H, W, 3)` uint8."""


def to_bytes(pieces: Iterable[Tensor]) -> Iterator[Frames]:
    """`(1, 3, t, H, W)` in [-1, 1] → `(t, H, W, 3)` uint8, rounded to the nearest."""
    for piece in pieces:
        levels = (piece[0].float() / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
        yield np.ascontiguousarray(levels.permute(1, 2, 3, 0).cpu().numpy())


def cropped(pieces: Iterable[Frames], height: int, width: int) -> Iterator[Frames]:
    """The middle `height` x `width` of every frame."""
    for piece in pieces:
        top, left = (piece.shape[1] - height) // 2, (piece.shape[2] - width) // 2
        yield np.ascontiguousarray(piece[:, top : top + height, left : left + width])


def at_rate(pieces: Iterable[Frames], made: Fraction, wanted: Fraction) -> Iterator[Frames]:
    """The clip at another rate and the same speed.

    Going down, each frame is the one nearest in time: no frame is a mixture, and none is off by more than half a
    frame of the faster clip. Going up, frames between two are blended by their distance in time.
    """
    step, position, index = made / wanted, Fraction(0), 0
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
