"""Frames between the frames of real footage: dense optical flow finds what moved, and it is shown on its way.

A stream in, a stream out; two frames are kept, and the motion between them. Knows no model, no file and no sound.

Source: Kroeger, Timofte, Dai, Van Gool, "Fast Optical Flow using Dense Inverse Search", ECCV 2016 (OpenCV's is used).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

from .frames import Frames, at_rate

Plane = np.ndarray
"""One value a pixel, `(h, w)`; brightness (uint8) or a weight (float32)."""

Field = np.ndarray
"""A motion a pixel, `(h, w, 2)` float32, in pixels: x, then y."""

# Motion is searched at half size: full size takes four times as long for up to 0.06 dB, a quarter loses 0.2 to 0.4.
# Frames lower or narrower than twice this are searched as they are, and a search takes no less than this.
_SMALLEST = 48

# Patches of 8 pixels every 4, 16 steps of descent: denser or longer gains less than 0.1 dB.
_PATCH, _STRIDE, _DESCENT = 8, 4, 16

# Motions there and back that miss each other by so many pixels of the plane tell of something hidden in one frame.
# What is hidden keeps some weight: alarms may be wrong. What is outside of the picture keeps next to none.
_MISS, _HIDDEN, _OUTSIDE = 2.0, 0.4, 0.05

# Levels that two samples of one thing differ by; beyond them, of two opinions the better one outweighs the other.
_NOISE = 20.0

# Slower than so many pixels of the plane, and no worse explained by standing still: stands still.
_SLOW = 0.5

# A cut: so many levels of difference are left after the motion, and around most details it is lost. The loss, -1 to
# 2, is 0.44 or more at cuts (bars and subtitles that stay take it to 0.24), -0.35 or less between frames that follow
# each other and 0.17 between every third of the fastest; fades and flashes, unless burnt out, have -0.1 or less.
_CUT_LEVELS, _CUT_LOSS = 6.0, 0.2

# Details of fewer levels are none.
_DETAIL = 2.0

# A picture whose levels all lie this close together is plain: nothing moves from it or to it. It is a cut if they
# differ by so many levels that a fade would be over in six frames.
_PLAIN, _PLAIN_CUT = 12, 40.0


def interpolated(
    pieces: Iterable[Frames], made: Fraction, wanted: Fraction, skip: Fraction = Fraction(0)
) -> Iterator[Frames]:
    """The clip at another rate and the same speed, in as many frames as `at_rate` gives.

    Going down, each frame is the one nearest in time. Going up, a frame that coincides with one of the clip is that
    frame, bit for bit; any other is made of its two neighbours, moved. Across a cut the nearer neighbour is shown.

    Args:
        pieces: `(t, H, W, 3)` uint8, any t.
        made: frames a second of `pieces`.
        wanted: frames a second to give.
        skip: the frame of `pieces`, from 0 and fractions too, at whose time it begins.

    Yields:
        `(1, H, W, 3)` uint8.
    """
    if wanted <= made:
        yield from at_rate(pieces, made, wanted, skip)
        return
    step, position, index = made / wanted, skip, 0
    search = _Search()
    last: Frames | None = None
    for piece in pieces:
        for frame in piece:
            # `frame` is number `index`, `last` the one before; everything up to it can be given out.
            between: _Between | None = None
            while position <= index:
                if last is None or position == index:
                    yield frame[None]
                else:
                    between = between or _Between(last, frame, search)
                    yield between.at(position - (index - 1))[None]
                position += step
            last, index = frame, index + 1
    # A clip lasts one frame time beyond its last frame.
    while last is not None and position < index:
        yield last[None]
        position += step


class _Search:
    """Finds the motions between frames that follow each other, each search starting from the motion found last.

    That start alone is worth 0.3 dB on fast footage. OpenCV keeps a start that it was once given for every later
    search of the same object; hence one object that is never given any, and others that always are.
    """

    def __init__(self) -> None:
        self._cold, self._warm, self._fine = _searcher(1), _searcher(1), _searcher(0)
        self._last: Field | None = None

    def motions(self, before: Plane, after: Plane) -> tuple[Field, Field]:
        """Where every pixel of `before` goes in `after`, and the other way round."""
        if self._last is None:
            there = self._cold.calc(before, after, None)
        else:
            there = self._warm.calc(before, after, _passing(self._last, 1, 2))
        # What the search missed one way, it may have met the other way.
        back = self._fine.calc(after, before, -_passing(there, 1, 2))
        there = self._fine.calc(before, after, -_passing(back, 1, 2))
        self._last = _calmed(there)
        return self._last, _calmed(back)

    def forget(self) -> None:
        """The next two frames have nothing to do with those before."""
        self._last = None


def _searcher(finest: int) -> Any:
    """A search from coarse to fine that ends at a plane halved `finest` times."""
    import cv2

    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(finest)
    search.setPatchSize(_PATCH)
    search.setPatchStride(_STRIDE)
    search.setGradientDescentIterations(_DESCENT)
    search.setVariationalRefinementIterations(0)  # takes as long again, and gains nothing here
    return search


class _Between:
    """The time between two frames: the motions are found once, then frames are made for any moment."""

    def __init__(self, before: Frames, after: Frames, search: _Search) -> None:
        self._frames = before, after
        self._moves = not np.array_equal(before, after)
        if not self._moves:
            return
        self._planes = _plane(before), _plane(after)
        motions = _motions(*self._planes, search)
        if motions is None:
            self._moves = False
            search.forget()
            return
        self._there, self._back = motions
        missed = _missed(self._there, self._back), _missed(self._back, self._there)
        self._seen = [_HIDDEN + (1 - _HIDDEN) * np.exp(-((miss / _MISS) ** 2)) for miss in missed]
        self._unmoved = _apart(*self._planes)
        self._levels = before.astype(np.float32), after.astype(np.float32)

    def at(self, share: Fraction) -> Frames:
        """The frame at `share` of the way, between 0 and 1: `(H, W, 3)` uint8."""
        before, after = self._frames
        if not self._moves:
            return after if share > Fraction(1, 2) else before
        import cv2

        s = float(share)
        # What passes here now: by the pixels of the one frame that went, and by those of the other that came.
        motions = _passing(self._there, s, 1), -_passing(self._back, 1 - s, 1)
        (one, trust_one), (other, trust_other) = (self._moved(motion, s) for motion in motions)
        return cv2.multiply(cv2.blendLinear(one, other, trust_one, trust_other), 1.0, dtype=cv2.CV_8U)

    def _moved(self, motion: Field, s: float) -> tuple[np.ndarray, Plane]:
        """The frame at `s` as one motion has it, `(H, W, 3)` float32, and how far to trust it."""
        import cv2

        apart = _apart(_at(self._planes[0], -s * motion), _at(self._planes[1], (1 - s) * motion))
        motion[(self._unmoved <= apart) & (cv2.magnitude(motion[..., 0], motion[..., 1]) < _SLOW)] = 0
        left, right = -s * motion, (1 - s) * motion
        shape = self._frames[0].shape
        # A side counts for less where the other frame tells that it is hidden there.
        weights = (
            _grown((1 - s) * _inside(left) * _at(self._seen[1], right), shape),
            _grown(s * _inside(right) * _at(self._seen[0], left), shape),
        )
        field = _grown(motion, shape)
        sides = _at(self._levels[0], -s * field, cubic=True), _at(self._levels[1], (1 - s) * field, cubic=True)
        return cv2.blendLinear(*sides, *weights), _grown((_NOISE / (apart + _NOISE)) ** 2, shape)


def _motions(before: Plane, after: Plane, search: _Search) -> tuple[Field, Field] | None:
    """What moves where between two frames, there and back; None across a cut."""
    if min(np.ptp(before), np.ptp(after)) < _PLAIN:
        still = np.zeros((*before.shape, 2), np.float32)
        return None if np.abs(before.astype(np.float32) - after).mean() > _PLAIN_CUT else (still, still)
    there, back = search.motions(before, after)
    return None if _is_cut(before, after, there, back) else (there, back)


def _is_cut(before: Plane, after: Plane, there: Field, back: Field) -> bool:
    """Whether neither motion nor light explains what changes.

    Lost is a detail whose motions there and back do not meet (1), and that looks unlike what is said to come there
    (-1: alike), whatever its brightness and contrast.
    """
    came, stands = _at(before, back).astype(np.float32), after.astype(np.float32)
    levels = np.abs(came - stands).mean()
    if levels < _CUT_LEVELS:
        return False
    size = max(before.shape)
    window = max(size // 20, 8)
    came, stands = came - _mean(came, window), stands - _mean(stands, window)
    power = [np.sqrt(np.maximum(_mean(detail * detail, window), 0)) for detail in (came, stands)]
    alike = _mean(came * stands, window) / (power[0] * power[1] + _DETAIL**2)
    loss = ((_missed(back, there) > size / 160) - alike)[np.maximum(*power) > _DETAIL]
    return bool(loss.mean() > _CUT_LOSS if loss.size else levels > _PLAIN_CUT)


def _plane(frame: Frames) -> Plane:
    """The brightness of a frame at the size that motion is searched at, uint8; too small a frame grows at its edges."""
    import cv2

    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    if _halved(frame.shape):
        return cv2.resize(grey, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
    beyond = max(_SMALLEST - height, 0), max(_SMALLEST - width, 0)
    return cv2.copyMakeBorder(grey, 0, beyond[0], 0, beyond[1], cv2.BORDER_REPLICATE)


def _halved(shape: tuple[int, ...]) -> bool:
    return min(shape[:2]) >= 2 * _SMALLEST


def _grown(plane: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A plane, or a motion in pixels of the plane, at the size of a frame; a motion then is in pixels of the frame."""
    import cv2

    height, width = shape[:2]
    if not _halved(shape):
        return plane[:height, :width]
    grown = cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR)
    if plane.ndim == 3:
        grown *= np.array((width / plane.shape[1], height / plane.shape[0]), np.float32)
    return grown


def _passing(field: Field, share: float, rounds: int) -> Field:
    """The motion of what has gone `share` of its way and is passing each pixel: it moves as it moved where it began."""
    found = field
    for _ in range(rounds):
        found = _at(field, -share * found)
    return found


def _calmed(field: Field) -> Field:
    """Motion without the splinters that stand where it was lost; its edges stay."""
    import cv2

    ways = [np.ascontiguousarray(field[..., way]) for way in (0, 1)]
    for _ in range(2):
        ways = [cv2.medianBlur(way, 5) for way in ways]
    return np.stack(ways, -1)


def _missed(field: Field, other: Field) -> Plane:
    """By how many pixels a way there and back ends beside its beginning."""
    import cv2

    miss = field + _at(other, field)
    return cv2.magnitude(miss[..., 0], miss[..., 1])


def _apart(one: Plane, other: Plane) -> Plane:
    """How many levels two planes differ by, around each pixel."""
    import cv2

    return cv2.boxFilter(cv2.absdiff(one, other), cv2.CV_32F, (5, 5))


def _inside(field: Field) -> Plane:
    """1 where a motion ends within the picture, next to nothing where it does not."""
    import cv2

    places = _places(*field.shape[:2]) + field
    return cv2.remap(
        np.ones(field.shape[:2], np.float32), places, None, cv2.INTER_LINEAR, None, cv2.BORDER_CONSTANT, _OUTSIDE
    )


def _mean(plane: Plane, window: int) -> Plane:
    import cv2

    return cv2.blur(plane, (window, window))


def _at(values: np.ndarray, field: Field, *, cubic: bool = False) -> np.ndarray:
    """What stands where a motion ends; beyond the edges stands what stands at the edge."""
    import cv2

    how = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    return cv2.remap(values, _places(*field.shape[:2]) + field, None, how, borderMode=cv2.BORDER_REPLICATE)


@lru_cache(maxsize=4)
def _places(height: int, width: int) -> Field:
    return np.stack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)), -1)
