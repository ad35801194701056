"""Two clips frame by frame: whether they show the same, and how far they are apart. Knows no recipe."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from .probe import probe
from .reader import frames

_CHUNK = 4  # frames in hand


@dataclass(frozen=True)
class Comparison:
    """How far two clips are apart; of a pair the first number is the first clip's.

    Attributes:
        sizes: width and height.
        num_frames: frames.
        first_difference: the first frame that is not the same in both, counted from 0; None where all are.
        psnr: dB over the frames that both have; None where those are the same, or of different sizes.
    """

    sizes: tuple[tuple[int, int], tuple[int, int]]
    num_frames: tuple[int, int]
    first_difference: int | None = None
    psnr: float | None = None

    @property
    def identical(self) -> bool:
        """Whether all decoded frames are the same."""
        return self.first_difference is None


def compare(first: str | os.PathLike[str], second: str | os.PathLike[str]) -> Comparison:
    """Decode two clips side by side; memory does not grow with their length.

    Raises:
        UsageError: one is missing, or no clip.
        MediaError: decoding failed.
    """
    one, other = probe(first), probe(second)
    sizes = (one.width, one.height), (other.width, other.height)
    if sizes[0] != sizes[1]:
        return Comparison(sizes, (one.num_frames, other.num_frames), 0)
    counts, error, difference = [0, 0], 0, None
    clips = _each(frames(first, facts=one, chunk=_CHUNK)), _each(frames(second, facts=other, chunk=_CHUNK))
    for index, pair in enumerate(zip_longest(*clips)):
        counts = [count + (frame is not None) for count, frame in zip(counts, pair, strict=True)]
        apart = _squared_error(*pair)
        error += apart or 0
        if apart != 0 and difference is None:
            difference = index
    values = min(counts) * one.width * one.height * 3
    psnr = 10 * math.log10(255**2 * values / error) if error else None
    return Comparison(sizes, (counts[0], counts[1]), difference, psnr)


def _each(pieces: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    for piece in pieces:
        yield from piece


def _squared_error(one: np.ndarray | None, other: np.ndarray | None) -> int | None:
    """Summed over all values of two frames; None where one of the clips has ended."""
    if one is None or other is None:
        return None
    return int(np.square(one.astype(np.int32) - other).sum(dtype=np.int64))
