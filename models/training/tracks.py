"""The subjects of a clip: what they are, and where each is in every frame.

A first, coarse look finds the drawing that explains most; its place and size are then followed through all frames,
and what is seen there, laid over itself and averaged, is compared closely with every kind. Knows no scenes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from .judge import grid
from .sprites import (
    DRAWINGS,
    Canvas,
    Drawing,
    best_gains,
    blended_gains,
    breadths,
    canvas,
    gain_maps,
    outlines,
    peaks,
    sized,
)
from .surroundings import Surroundings, uncovered
from .world import COLOURS

_RADII = (0.2, 0.28, 0.37, 0.47, 0.6)  # of the coarse look
_FINE_RADII = (0.15, 0.18, 0.22, 0.27, 0.33, 0.39, 0.47, 0.56, 0.68)
_PAIRED_RADII, _FINE_PAIRED_RADII = (0.28, 0.33, 0.38), (0.27, 0.3, 0.33, 0.36, 0.4)  # two subjects are small
_SPIN_RADII = (0.25, 0.33, 0.47, 0.62)
_CROP, _UNIT = 40, 9.0  # pixels of a close look, and how many of them are the radius of a disc as large
_SPIN_TAX = 0.98  # something that is still is never quite as it should be
SPINS = {"": (0.0, 0.0), "whole": (0.0, 1.0), "first": (0.0, 0.5), "second": (0.5, 1.0)}
"""Between which times a subject turns round once, if it does."""


@dataclass(frozen=True)
class Track:
    """A subject of a clip of T frames, lengths in half-sides.

    Attributes:
        x, y, radius: `(T,)`, what was seen.
        shown: `(T,)`, how clear it is there, 1 for as much as in most frames that show it.
        spin: of `SPINS`.
    """

    kind: str
    colour: str
    mirrored: bool
    spin: str
    x: Tensor
    y: Tensor
    radius: Tensor
    shown: Tensor
    gain: float = 0.0  # what the drawing explains of its picture

    @property
    def drawing(self) -> Drawing:
        """How it is drawn, whatever its size."""
        return Drawing(self.kind, self.mirrored)

    def covered(self, height: int, width: int) -> Tensor:
        """What it hides of each frame `(T, H, W)` bool, upright, and a little more."""
        covered = outlines(self.drawing, self.x, self.y, self.radius, height, width)
        return covered & (self.shown > 0.1)[:, None, None]

    def disc(self, height: int, width: int) -> Tensor:
        """What it may hide of each frame `(T, H, W)` bool, with a good margin."""
        y, x = grid(height, width)
        away = (y - self.y[:, None, None]).square() + (x - self.x[:, None, None]).square()
        reach = 1.6 * breadths()[self.kind] * self.radius
        return (away < reach.square()[:, None, None]) & (self.shown > 0.1)[:, None, None]


def subjects(video: Tensor, times: Tensor, around: Surroundings, count: int) -> list[Track]:
    """The `count` most visible subjects of a clip `(3, T, H, W)` in [0, 1], fewer when there are fewer."""
    height, width = video.shape[2:]
    cost, found = around.cost, list[Track]()
    hidden = torch.zeros_like(cost, dtype=torch.bool)
    for _ in range(count):
        first = _coarse(video, cost, ~hidden, count)
        frames = _halved(video, cost, ~hidden if found else None)
        if first is None:
            break
        track = _followed(frames, times, *first, count)
        behind = uncovered(
            video, around, track.disc(height, width) | (found[0].disc(height, width) if found else False)
        )
        taken = hidden if found else None
        guess = _looked_at(video, behind, times, track, ends=True, hidden=taken)
        found.append(_looked_at(video, behind, times, _turned(frames, times, guess, count), hidden=taken))
        if len(found) < count:
            hidden = found[-1].covered(height, width)
    if len(found) == 2 and math.hypot(*(float((a - b).median()) for a, b in _apart(*found))) < 0.6:
        return _untangled(video, times, around, found)
    return found


def _apart(one: Track, other: Track) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    return (one.x, other.x), (one.y, other.y)


def _untangled(video: Tensor, times: Tensor, around: Surroundings, found: list[Track]) -> list[Track]:
    """Two subjects that overlap, looked at again: the one in front first, then what it leaves of the other."""
    height, width = video.shape[2:]
    behind = uncovered(video, around, found[0].disc(height, width) | found[1].disc(height, width))
    frames, best = _halved(video, around.cost), (-math.inf, found)
    for front, back in (found, found[::-1]):
        front = _followed(frames, times, front.drawing, list(COLOURS).index(front.colour), 2)
        front = _looked_at(video, behind, times, front)
        back = _looked_at(video, behind, times, back, hidden=front.covered(height, width))
        best = max(best, (front.gain + back.gain, [front, back]), key=lambda pair: pair[0])
    return best[1]


def _halved(video: Tensor, cost: Tensor, known: Tensor | None = None) -> Canvas:
    known = None if known is None else F.avg_pool2d(known.float(), 2)
    return canvas(F.avg_pool2d(video, 2), F.avg_pool2d(cost, 2), known)


def _coarse(video: Tensor, cost: Tensor, known: Tensor, count: int) -> tuple[Drawing, int] | None:
    """The drawing and the colour that explain most in the two best of a few frames."""
    last = video.shape[1] - 1
    picked = sorted({0, last // 3, 2 * last // 3, last})
    frames = _halved(video[:, picked], cost[picked], None if bool(known.all()) else known[picked])
    radii = _RADII if count == 1 else _PAIRED_RADII
    gains = best_gains(frames, sized(DRAWINGS, radii))  # (t, N, 8)
    gains = gains.view(len(picked), len(DRAWINGS), len(radii), -1).amax(2)
    total = gains.topk(min(2, len(picked)), 0).values.mean(0)
    best = int(total.argmax())
    if float(total.max()) < 0.002:
        return None
    return DRAWINGS[best // len(COLOURS)], best % len(COLOURS)


def _followed(frames: Canvas, times: Tensor, drawing: Drawing, colour: int, count: int, spin: str = "") -> Track:
    """Where a drawing in this colour explains most in each frame, when it turns so."""
    turns = _turn(times, spin).tolist() if spin else [0.0]
    radii = _FINE_RADII if count == 1 else _FINE_PAIRED_RADII
    rows = [sized((replace(drawing, turn=turn),), radii) for turn in turns]
    maps = gain_maps(frames, rows, colour)  # (T, R, h, w)
    heights = maps.flatten(2).amax(2)
    size = heights.argmax(1)
    gain, x, y = peaks(maps[torch.arange(len(maps)), size], frames)
    name = tuple(COLOURS)[colour]
    if float(gain.max()) <= 0:
        return Track(drawing.kind, name, drawing.mirrored, spin, x, y, gain.clamp(min=0.3, max=0.3), gain * 0)
    radius = _between(heights, size, radii)
    density = gain / radius.square()  # a subject that grows is as clear when it is small
    best = density[gain >= 0.3 * gain.max()].median().clamp(min=1e-6)
    return Track(drawing.kind, name, drawing.mirrored, spin, x, y, radius, (density / best).clamp(0, 1))


def _turned(frames: Canvas, times: Tensor, guess: Track, count: int) -> Track:
    """What is guessed, followed once more, and turning if it explains more so."""
    colour = list(COLOURS).index(guess.colour)
    gains, step = {}, 2 if len(times) > 8 else 1
    few = frames.some(step)
    for spin in SPINS if count == 1 else ():
        turns = _turn(times[::step], spin).tolist() if spin else [0.0]
        rows = [sized((replace(guess.drawing, turn=turn),), _SPIN_RADII) for turn in turns]
        gains[spin] = float(gain_maps(few, rows, colour).flatten(1).amax(1).clamp(min=0).sum())
    spin = max(gains, key=lambda name: gains[name] * (_SPIN_TAX if name else 1.0), default="")
    return _followed(frames, times, guess.drawing, colour, count, spin)


def _between(heights: Tensor, size: Tensor, radii: Sequence[float]) -> Tensor:
    """The radius `(T,)` at which gains `(T, R)` are highest, between those that were tried."""
    inner = size.clamp(1, len(radii) - 2)
    before, most, after = (heights.gather(1, inner[:, None] + step)[:, 0] for step in (-1, 0, 1))
    nudge = (0.5 * (after - before) / (2 * most - before - after).clamp(min=1e-6)).clamp(-1, 1)
    tried = torch.tensor(radii).log()
    return torch.exp(tried[inner] + nudge * (tried[-1] - tried[0]) / (len(tried) - 1))


_CLOSE_UNIT = _UNIT / (_CROP / 2)


@lru_cache(maxsize=2)
def _close(radii: tuple[float, ...], turns: tuple[float, ...]) -> tuple[Drawing, ...]:
    """Every drawing in these radii and turns, 1 for the radius in which it covers what was followed."""
    breadth = breadths()
    return tuple(
        replace(each, radius=_CLOSE_UNIT * radius / breadth[each.kind], turn=turn)
        for each in DRAWINGS
        for radius in radii
        for turn in turns
    )


def _looked_at(
    video: Tensor, behind: Tensor, times: Tensor, track: Track, *, ends: bool = False, hidden: Tensor | None = None
) -> Track:
    """The track with the kind, colour and size of the drawing that is most like what is seen along it.

    Args:
        ends: look at the first and the last frame alone, where nothing is turned.
        hidden: `(T, H, W)` bool, what is known to be something else.
    """
    close = _close((0.88, 0.95, 1.02, 1.1, 1.2), (-0.08, 0.08))
    clear = track.shown >= 0.35 * track.shown.max()
    if ends and bool(clear[[0, -1]].any()):
        clear[1:-1] = False
    maps = [video, behind] if hidden is None else [video, behind, ~hidden[None]]
    picture = _aligned(torch.cat([each.float() for each in maps]), times, track, clear)
    gains = blended_gains(picture[:3], picture[3:6], close, picture[6] if hidden is not None else None)
    index = int(gains.argmax())
    drawing, colour = close[index // len(COLOURS)], index % len(COLOURS)
    return replace(
        track,
        kind=drawing.kind,
        mirrored=drawing.mirrored,
        colour=tuple(COLOURS)[colour],
        gain=float(gains.max()),
        radius=track.radius * breadths()[track.kind] * (drawing.radius / _CLOSE_UNIT),
    )


def _turn(times: Tensor, spin: str) -> Tensor:
    start, end = SPINS[spin]
    if not spin:
        return torch.zeros_like(times)
    return 2 * math.pi * ((times - start) / (end - start)).clamp(0, 1)


def _aligned(video: Tensor, times: Tensor, track: Track, clear: Tensor) -> Tensor:
    """What maps `(C, T, H, W)` show along a track, `(C, 40, 40)`: of one size, turned back, the median.

    Args:
        clear: `(T,)` bool, which frames are looked at.
    """
    height, width = video.shape[-2:]
    short = min(height, width)
    turn = _turn(times, track.spin)[clear]
    line = (torch.arange(_CROP) + 0.5 - _CROP / 2) / _UNIT
    y, x = line[:, None], line[None]
    cos, sin = turn.cos()[:, None, None], turn.sin()[:, None, None]
    size = breadths()[track.kind] * track.radius[clear, None, None]
    across = track.x[clear, None, None] + size * (cos * x - sin * y)
    down = track.y[clear, None, None] + size * (sin * x + cos * y)
    points = torch.stack([across * short / width, down * short / height], -1)
    crops = F.grid_sample(video[:, clear].transpose(0, 1), points, padding_mode="border", align_corners=False)
    return crops.median(0).values
