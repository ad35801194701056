"""Where in a frame a subject of some kind, colour, size and turn would explain the pixels best, and by how much.

A pixel that a subject covers should have the subject's colour there; one that it does not cover should be explained by
the backdrop. Laying a drawing at a place therefore gains, summed over the pixels that it covers, what the backdrop
fails to explain less what the drawing does. That is a sum of correlations, computed for all places at once. Knows
no scenes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from .drawing import REACH, tables
from .world import COLOURS, FACING, KINDS

PALETTE = torch.tensor(tuple(COLOURS.values())) / 255


@dataclass(frozen=True)
class Drawing:
    """A kind as it may be drawn: looking to the right or to the left, of a radius in half-sides, turned in radians."""

    kind: str
    mirrored: bool = False
    radius: float = 0.4
    turn: float = 0.0


DRAWINGS = (*(Drawing(kind) for kind in KINDS), *(Drawing(kind, mirrored=True) for kind in FACING))
"""Every kind, and those that have a front once more looking to the left."""


@dataclass(frozen=True)
class Canvas:
    """Frames ready to be matched: spectra of `(T, H, W)` maps.

    Attributes:
        pixels: of the frames, `(T, 3, H, W // 2 + 1)`.
        excess: of what the backdrop fails to explain less the square of the pixel, `(T, H, W // 2 + 1)`.
        known: of which pixels count, `(T, H, W // 2 + 1)`; None where all do.
    """

    height: int
    width: int
    pixels: Tensor
    excess: Tensor
    known: Tensor | None = None

    def some(self, step: int) -> Canvas:
        """Every so many frames."""
        known = None if self.known is None else self.known[::step]
        return Canvas(self.height, self.width, self.pixels[::step], self.excess[::step], known)

    def places(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        """x and y in half-sides of flat indices into a map."""
        unit = min(self.height, self.width) / 2
        row, column = flat // self.width, flat % self.width
        return (column + 0.5 - self.width / 2) / unit, (row + 0.5 - self.height / 2) / unit


def canvas(video: Tensor, cost: Tensor, known: Tensor | None = None) -> Canvas:
    """Prepare frames `(3, T, H, W)` in [0, 1].

    Args:
        cost: `(T, H, W)`, how badly the backdrop explains each pixel.
        known: `(T, H, W)` in [0, 1], which pixels count; all where None.
    """
    frames = video.transpose(0, 1)
    excess = cost - frames.square().sum(1)
    if known is None:
        return Canvas(video.shape[-2], video.shape[-1], torch.fft.rfft2(frames), torch.fft.rfft2(excess))
    spectra = [torch.fft.rfft2(each) for each in (frames * known[:, None], excess * known, known)]
    return Canvas(video.shape[-2], video.shape[-1], spectra[0], spectra[1], spectra[2])


@dataclass(frozen=True)
class _Stencils:
    """Conjugate spectra of N drawings on an empty canvas, the middle of each at its first pixel."""

    covered: Tensor  # (N, H, W // 2 + 1) spectrum
    own: Tensor  # (N, H, W // 2 + 1) spectrum of the share of the subject's own colour
    added: Tensor  # (N, 3, H, W // 2 + 1) spectrum of the colours that are always there
    own_twice: Tensor  # (N, H, W // 2 + 1) spectrum of the square of that share
    own_added: Tensor  # (N, 3, H, W // 2 + 1) spectrum of the product of both
    added_twice: Tensor  # (N, H, W // 2 + 1) spectrum of the square of the colours that are always there
    powers: Tensor  # (N, 8): what the square of its colours adds up to, for every colour


def _drawn(drawings: tuple[Drawing, ...], height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """What drawings cover `(N, H, W)`, their share of their own colour, and what is added to it `(N, 3, H, W)`."""
    unit = min(height, width) / 2
    y = torch.fft.fftfreq(height, 1 / height)[:, None] / unit
    x = torch.fft.fftfreq(width, 1 / width)[None] / unit
    size = torch.tensor([each.radius for each in drawings]).view(-1, 1, 1)
    turn = torch.tensor([each.turn for each in drawings]).view(-1, 1, 1)
    side = torch.tensor([-1.0 if each.mirrored else 1.0 for each in drawings]).view(-1, 1, 1)
    across, down = (turn.cos() * x + turn.sin() * y) / size, (turn.cos() * y - turn.sin() * x) / size
    points = torch.stack([side * across, down], -1) / REACH
    kinds = sorted({KINDS.index(each.kind) for each in drawings})
    sampled = points.new_empty(len(drawings), 5, height, width)
    for kind in kinds:
        where = torch.tensor([index for index, each in enumerate(drawings) if each.kind == KINDS[kind]])
        table = tables(torch.device("cpu"))[kind].expand(len(where), -1, -1, -1)
        sampled[where] = F.grid_sample(table, points[where], padding_mode="border", align_corners=True)
    covered = (0.5 - sampled[:, 0] * size * unit).clamp(0, 1) * (points.abs().amax(-1) < 1)
    return covered, sampled[:, 1], sampled[:, 2:]


@lru_cache(maxsize=16)
def stencils(drawings: tuple[Drawing, ...], height: int, width: int, *, masked: bool = False) -> _Stencils:
    """Drawings as spectra on a canvas of this size; with those of squares where some pixels do not count."""
    covered, share, added = _drawn(drawings, height, width)
    own, fixed = covered * share, covered[:, None] * added
    # The square of share * own + added, summed over the covered pixels, for every own colour.
    alone = (own * share, own[:, None] * added, (fixed * added).sum(1))
    powers = _powers(*(each.sum((-2, -1)) for each in alone))
    squares = [_spectra(each) for each in alone] if masked else [torch.empty(0)] * 3
    return _Stencils(_spectra(covered), _spectra(own), _spectra(fixed), squares[0], squares[1], squares[2], powers)


@dataclass(frozen=True)
class _Blends:
    """N drawings, a little blurred, as conjugate spectra: of what they cover, what they paint, and their products."""

    covered: Tensor  # (N, H, W // 2 + 1)
    own: Tensor
    added: Tensor  # (N, 3, H, W // 2 + 1)
    covered_twice: Tensor
    covered_own: Tensor
    covered_added: Tensor
    own_twice: Tensor
    own_added: Tensor
    added_twice: Tensor
    powers: Tensor  # (N, 8)


@lru_cache(maxsize=4)
def _blends(drawings: tuple[Drawing, ...], height: int, width: int) -> _Blends:
    covered, share, added = _drawn(drawings, height, width)
    bells = [torch.exp(-2 * (math.pi * torch.fft.fftfreq(size) * _BLUR) ** 2) for size in (height, width)]
    bell = bells[0][:, None] * bells[1][: width // 2 + 1]
    maps = (covered, covered * share, covered[:, None] * added)
    covered, own, added = (torch.fft.irfft2(torch.fft.rfft2(each) * bell, s=(height, width)) for each in maps)
    powers = _powers(own.square().sum((1, 2)), (own[:, None] * added).sum((2, 3)), added.square().sum((1, 2, 3)))
    return _Blends(
        covered=_spectra(covered),
        own=_spectra(own),
        added=_spectra(added),
        covered_twice=_spectra(covered.square()),
        covered_own=_spectra(covered * own),
        covered_added=_spectra(covered[:, None] * added),
        own_twice=_spectra(own.square()),
        own_added=_spectra(own[:, None] * added),
        added_twice=_spectra(added.square().sum(1)),
        powers=powers,
    )


def _spectra(maps: Tensor) -> Tensor:
    return torch.fft.rfft2(maps).conj().resolve_conj()


def _powers(own: Tensor, both: Tensor, rest: Tensor) -> Tensor:
    """What squares `(N,)`, products `(N, 3)` and the rest `(N,)` add up to for every colour `(N, 8)`."""
    return own[:, None] * PALETTE.square().sum(1) + 2 * (both @ PALETTE.T) + rest[:, None]


# Of maps of what is fixed, red, green and blue, and of what grows with the square of the colour.
_MIXING = torch.cat([torch.ones(len(PALETTE), 1), PALETTE, -PALETTE.square().sum(1, keepdim=True)], 1)
_BLUR = 0.8  # in pixels, of a close look
_ASTRAY = 6  # pixels that its middle may be off


def blended_gains(
    picture: Tensor, behind: Tensor, drawings: tuple[Drawing, ...], known: Tensor | None = None
) -> Tensor:
    """The most that each drawing in each colour gains, `(N, 8)`, laid near the middle over what is known to be there.

    Unlike `best_gains` it mixes the colours where a pixel is covered in part, so that fine outlines count.

    Args:
        picture, behind: `(3, H, W)` in [0, 1].
        known: `(H, W)` in [0, 1], which pixels count; all where None.
    """
    height, width = picture.shape[1:]
    change = picture - behind
    laid = _blends(drawings, height, width)
    weight = torch.ones_like(picture[0]) if known is None else known
    seen, under = torch.fft.rfft2(change * weight), torch.fft.rfft2(behind * weight)
    across = torch.fft.rfft2((change * behind).sum(0) * weight)
    power = torch.fft.rfft2(behind.square().sum(0) * weight)
    fixed = 2 * ((seen * laid.added).sum(1) + (under * laid.covered_added).sum(1) - across * laid.covered)
    fixed = fixed - power * laid.covered_twice
    own = 2 * (seen * laid.own[:, None] + under * laid.covered_own[:, None])
    parts, mixing, less = [fixed[:, None], own], _MIXING[:, :4], laid.powers
    if known is not None:
        open_ = torch.fft.rfft2(weight)
        parts = [(fixed - open_ * laid.added_twice)[:, None], own - 2 * open_ * laid.own_added]
        parts, mixing, less = [*parts, (open_ * laid.own_twice)[:, None]], _MIXING, torch.zeros_like(less)
    maps = torch.fft.irfft2(torch.cat(parts, 1), s=(height, width))
    top, left = height // 2 - _ASTRAY, width // 2 - _ASTRAY
    maps = maps[..., top : top + 2 * _ASTRAY, left : left + 2 * _ASTRAY].flatten(2)
    maps = mixing @ maps  # (N, 8, 4 * _ASTRAY ** 2)
    most, where = maps.max(-1)
    inner = torch.arange(maps.shape[-1]).view(2 * _ASTRAY, -1)[1:-1, 1:-1]
    between = torch.isin(where, inner)
    for step in (1, 2 * _ASTRAY):  # a peak between the pixels is a little higher
        before, after = (maps.gather(2, (where + side)[..., None] % maps.shape[2])[..., 0] for side in (-step, step))
        bend = (2 * maps.gather(2, where[..., None])[..., 0] - before - after).clamp(min=1e-6)
        most = most + between * 0.125 * (after - before).square() / bend
    return (most - less) / (min(height, width) / 2) ** 2


def best_gains(frames: Canvas, drawings: tuple[Drawing, ...]) -> Tensor:
    """The most that each drawing gains in each colour in each frame, wherever it is laid, `(T, N, 8)`."""
    stencil = stencils(drawings, frames.height, frames.width, masked=frames.known is not None)
    size = (frames.height, frames.width)
    gains = []
    for index, (pixels, excess) in enumerate(zip(frames.pixels, frames.excess, strict=True)):
        fixed = excess * stencil.covered + 2 * (pixels * stencil.added).sum(1)
        own = 2 * pixels * stencil.own[:, None]  # (N, 3, H, w)
        parts, mixing, less = [fixed[:, None], own], _MIXING[:, :4], stencil.powers
        if frames.known is not None:
            known = frames.known[index]
            parts = [(fixed - known * stencil.added_twice)[:, None], own - 2 * known * stencil.own_added]
            parts, mixing, less = [*parts, (known * stencil.own_twice)[:, None]], _MIXING, torch.zeros_like(less)
        maps = torch.fft.irfft2(torch.cat(parts, 1), s=size).flatten(2)  # (N, 4 or 5, H * W)
        gains.append((mixing @ maps).amax(-1) - less)
    return torch.stack(gains) / (min(size) / 2) ** 2


def gain_maps(frames: Canvas, drawings: Sequence[tuple[Drawing, ...]], colour: int) -> Tensor:
    """What drawings in this colour gain at each place of each frame, `(T, N, H, W)`.

    Args:
        drawings: N for each frame, or N for all of them.
    """
    every = tuple(each for row in drawings for each in row)
    one = stencils(every, frames.height, frames.width, masked=frames.known is not None)
    painted = one.own[:, None] * PALETTE[colour][:, None, None] + one.added  # (T * N, 3, H, w)
    rows = len(drawings)
    painted, covered = painted.view(rows, -1, *painted.shape[1:]), one.covered.view(rows, -1, *one.covered.shape[1:])
    spectrum = frames.excess[:, None] * covered
    for channel in range(3):
        spectrum = spectrum + 2 * frames.pixels[:, channel, None] * painted[:, :, channel]
    less = one.powers[:, colour].view(rows, -1, 1, 1)
    if frames.known is not None:
        own, both = PALETTE[colour].square().sum(), (one.own_added * PALETTE[colour][:, None, None]).sum(1)
        square = own * one.own_twice + 2 * both + one.added_twice
        square = square.view(rows, -1, *square.shape[1:])
        spectrum, less = spectrum - frames.known[:, None] * square, torch.zeros_like(less)
    maps = torch.fft.irfft2(spectrum, s=(frames.height, frames.width))
    return (maps - less) / (min(frames.height, frames.width) / 2) ** 2


def outlines(drawing: Drawing, x: Tensor, y: Tensor, radius: Tensor, height: int, width: int) -> Tensor:
    """What a drawing covers where it is, `(T, H, W)` bool, and two pixels around it; x, y and radius are `(T,)`."""
    unit = min(height, width) / 2
    line_y = ((torch.arange(height) + 0.5 - height / 2) / unit)[:, None]
    line_x = ((torch.arange(width) + 0.5 - width / 2) / unit)[None]
    size = radius[:, None, None]
    across, down = (line_x - x[:, None, None]) / size, (line_y - y[:, None, None]) / size
    points = torch.stack([(-across if drawing.mirrored else across) + 0 * down, down + 0 * across], -1) / REACH
    away = tables(torch.device("cpu"))[KINDS.index(drawing.kind), :1].expand(len(radius), -1, -1, -1)
    return F.grid_sample(away, points, padding_mode="border", align_corners=True)[:, 0] * size < 2 / unit


@lru_cache(maxsize=1)
def breadths() -> dict[str, float]:
    """For every kind the radius of the disc that covers as much as it does in radius 1."""
    covered = _drawn(tuple(Drawing(kind, radius=0.5) for kind in KINDS), 64, 64)[0]
    areas = covered.sum((1, 2)) / (0.5 * 32) ** 2
    return dict(zip(KINDS, (areas / math.pi).sqrt().tolist(), strict=True))


def peaks(maps: Tensor, frames: Canvas) -> tuple[Tensor, Tensor, Tensor]:
    """The highest value in each map `(T, H, W)`, and x and y of the peak in half-sides, finer than the pixels."""
    height, width = maps.shape[1:]
    most, flat = maps.flatten(1).max(1)
    row, column = flat // width, flat % width
    every = torch.arange(len(maps))

    def nudge(before: Tensor, after: Tensor) -> Tensor:
        return 0.5 * (after - before) / (2 * most - before - after).clamp(min=1e-6)

    across = nudge(maps[every, row, (column - 1) % width], maps[every, row, (column + 1) % width])
    down = nudge(maps[every, (row - 1) % height, column], maps[every, (row + 1) % height, column])
    x, y = frames.places(flat)
    unit = min(height, width) / 2
    return most, x + across / unit, y + down / unit


def sized(drawings: Sequence[Drawing], radii: Sequence[float]) -> tuple[Drawing, ...]:
    """Each drawing in each radius."""
    return tuple(Drawing(each.kind, each.mirrored, radius, each.turn) for each in drawings for radius in radii)
