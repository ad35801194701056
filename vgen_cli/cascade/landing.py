"""A clip that ends at a picture, exactly: where the model has not quite arrived there, its last frames are led to it.

A stream in, a stream out; the last frames alone are kept. Knows no model and no file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction

import numpy as np

from .flow import interpolated
from .frames import Frames, Tail, first

_LEAP = 2.0
"""More than so many times the largest change between the last frames is a jump."""


def landed(pieces: Iterable[Frames], picture: Callable[[], Frames], count: int) -> Iterator[Frames]:
    """The clip with a picture as its last frame.

    Args:
        pieces: `(t, H, W, 3)` uint8, in all more than `count` frames.
        picture: gives it, `(1, H, W, 3)` uint8; asked when the clip has ended.
        count: frames, 1 or more, that are moved towards the picture where the clip would jump to it.
    """
    tail = Tail(count + 1)
    for piece in pieces:
        yield from tail.passed(piece)
    end, last = tail.frames, picture()
    assert end is not None, "a clip has frames"
    if _jumps(end, last):
        way = interpolated([np.concatenate((end[:1], last))], Fraction(1), Fraction(len(end) - 1))
        end = np.concatenate(list(first(way, len(end))))
    yield np.concatenate((end[:-1], last))


def _jumps(end: Frames, picture: Frames) -> bool:
    """Whether the step from the last frame but one to the picture is out of measure."""
    changes = np.abs(np.diff(np.concatenate((end[:-1], picture)).astype(np.float32), axis=0)).mean((1, 2, 3))
    usual = float(changes[:-1].max(initial=0.0))
    return float(changes[-1]) > _LEAP * usual + 0.5
