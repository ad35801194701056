"""What does a clip of the simple world show? A verdict from pixels alone, by measuring instead of learning.

The backdrop is fitted first, what differs from it is the object, and the object's track, size and outline give
the rest. Made for the blurred, slightly wrong colours of a small generative model. Knows no prompts, no networks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache, reduce

import torch
from torch import Tensor
from torch.nn import functional as F

from .render import render
from .world import COLOURS, SHAPES, SIZES, Scene, Subject

_SIDE, _FRAMES = 64, 17  # a clip is looked at in this size and no finer
_RADII, _ANGLES = 18, 72
_LIGHTNESS = (0.3, 0.59, 0.11)
_REACH = 1.3  # polar samples go this far, in radii of the object
_SPINS = (0.5, 0.75, 1.0, 1.25, -0.5, -0.75, -1.0, -1.25)  # turns over the clip


@dataclass(frozen=True)
class Verdict:
    """What a clip shows, in the words of the world; None where no object was found."""

    kind: str | None
    colour: str | None
    size: str | None
    motion: str | None
    backdrop: str
    backdrop_colour: str


@dataclass(frozen=True)
class _Backdrop:
    kind: str
    colour: str
    tones: Tensor  # (2, 3): where its share map is 0 and 1
    image: Tensor  # (3, H, W)
    edges: Tensor  # (H, W) bool: where a pattern changes tone


@dataclass(frozen=True)
class _Track:
    """The object in the frames that show it; lengths in half-sides."""

    times: Tensor  # (N,)
    centres: Tensor  # (N, 2)
    areas: Tensor  # (N,)
    coverage: Tensor  # (N, H, W)


def judge(clip: Tensor) -> Verdict:
    """Say what a clip shows.

    Args:
        clip: `(3, T, H, W)` float in [-1, 1], any length and size.

    Returns:
        the verdict; its object's attributes are None when nothing stands out from the backdrop.
    """
    video, times = reduced(clip)
    y, x = grid(*video.shape[-2:])
    backdrop = _find_backdrop(video, y, x)
    found = _find_object(video, backdrop)
    track = _follow(found[1], times, y, x) if found else None
    if found is None or track is None:
        return Verdict(None, None, None, None, backdrop.kind, backdrop.colour)
    still, turning = _compare_outlines(track, y.shape[0], x.shape[1])
    motion = _travel(track)
    if motion is None:
        spinning = turning - 0.015 > still.max()
        motion = "spinning" if bool(spinning.any()) else "still"
        still = torch.maximum(still, turning) if motion == "spinning" else still
    kind = SHAPES[int(still.argmax())]
    return Verdict(kind, found[0], _size(track, kind, motion), motion, backdrop.kind, backdrop.colour)


def score(verdict: Verdict, scene: Scene) -> dict[str, bool]:
    """Attribute by attribute, whether a verdict is what a scene of the simple world says."""
    subject = scene.subject
    return {
        "kind": verdict.kind == subject.kind,
        "colour": verdict.colour == subject.colour,
        "size": verdict.size == subject.size,
        "motion": verdict.motion == subject.motion,
        "backdrop": verdict.backdrop == scene.backdrop,
        "backdrop_colour": verdict.backdrop_colour == scene.backdrop_colour,
    }


def reduced(clip: Tensor, *, side: int = _SIDE, frames: int = _FRAMES) -> tuple[Tensor, Tensor]:
    """A clip as `(3, T, H, W)` in [0, 1], of so many frames at most and this shorter side, and when they are `(T,)`."""
    count, height, width = clip.shape[1:]
    picked = torch.arange(count)
    if count > frames:
        picked = torch.linspace(0, count - 1, frames).round().long()
        clip = clip[:, picked]
    times = picked / max(1, count - 1)
    video = clip.detach().float().cpu().clamp(-1, 1) / 2 + 0.5
    scale = side / min(height, width)
    if scale == 1:
        return video, times
    size = (round(height * scale), round(width * scale))
    mode = "area" if scale < 1 else "bilinear"
    return F.interpolate(video.transpose(0, 1), size=size, mode=mode).transpose(0, 1), times


def grid(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Pixel centres `(H, 1)` and `(1, W)` in half-sides."""
    unit = min(height, width) / 2
    y = (torch.arange(height) + 0.5 - height / 2) / unit
    x = (torch.arange(width) + 0.5 - width / 2) / unit
    return y[:, None], x[None, :]


def _perceptual(rgb: Tensor) -> Tensor:
    """sRGB `(..., 3)` in [0, 1] to OKLab, hue and saturation counting double. Source: Ottosson 2020."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_cones = rgb.new_tensor([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]])
    to_lab = rgb.new_tensor([[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]])
    lab = (linear @ to_cones.T).clamp(min=0) ** (1 / 3) @ to_lab.T
    return lab * rgb.new_tensor([1.0, 2.0, 2.0])


@lru_cache(maxsize=1)
def _palette() -> Tensor:
    """The world's colours `(8, 3)` in [0, 1]."""
    return torch.tensor(tuple(COLOURS.values())) / 255


@lru_cache(maxsize=1)
def _second_tones() -> Tensor:
    """The second tone of every colour as a backdrop `(8, 3)`: darker, and lighter for black."""
    first = _palette()
    dark = torch.tensor([name == "black" for name in COLOURS])[:, None]
    return torch.where(dark, first + (1 - first) * 0.30, first * 0.68)


@lru_cache(maxsize=1)
def _night_tones() -> Tensor:
    """The tone behind the stars for every colour `(8, 3)`."""
    dark = torch.tensor([name == "black" for name in COLOURS])[:, None]
    return torch.where(dark, _palette(), _palette() * 0.45)


def _colour_name(index: Tensor) -> str:
    return tuple(COLOURS)[int(index)]


def fitted_backdrop(video: Tensor) -> tuple[str, str, Tensor]:
    """The kind, colour and picture `(3, H, W)` of the pattern most like a reduced clip `(3, T, H, W)` in [0, 1]."""
    backdrop = _find_backdrop(video, *grid(*video.shape[-2:]))
    return backdrop.kind, backdrop.colour, backdrop.image


def _find_backdrop(video: Tensor, y: Tensor, x: Tensor) -> _Backdrop:
    """The kind, colour and picture of the backdrop; the geometry of patterns is that of `render.py`."""
    height, width = y.shape[0], x.shape[1]
    pixels = video[:, :: max(1, video.shape[1] // 6)].transpose(0, 1)[..., ::2, ::2]  # (t, 3, h, w)
    columns, rows = (2 * x).floor() % 2, (2 * y).floor() % 2
    shares = {
        "plain": torch.zeros(height, width),
        "gradient": ((y + 1) / 2).clamp(0, 1).expand(height, width),
        "stripes": columns.expand(height, width),
        "checkerboard": (columns + rows) % 2,
    }
    middle = _median_colour(pixels.transpose(0, 1).flatten(1))
    kind, tones, least = "plain", torch.stack([middle, middle]), math.inf
    for name, share in shares.items():
        pair = tones if name == "plain" else _two_tones(pixels, share[::2, ::2], graded=name == "gradient")
        difference = (pair[0] - pair[1]).norm()
        contrast = difference / pair.norm(dim=1).max().clamp(min=0.05)
        if name != "plain" and (contrast < 0.15 or difference < 0.06):
            continue
        miss = float((pixels - _paint(pair, share[::2, ::2])).square().sum(1).sqrt().clamp(max=0.25).mean())
        if miss < least:
            kind, tones, least = name, pair, miss
    stars = _stars(video, middle) if kind == "plain" else None
    if stars is not None:
        colour = (_perceptual(_night_tones()) - _perceptual(middle)).square().sum(-1).argmin()
        image = torch.where(stars, video.median(1).values, middle[:, None, None])
        return _Backdrop("stars", _colour_name(colour), tones, image, torch.zeros_like(stars))
    second_tones = _palette() if kind == "plain" else _second_tones()
    expected = torch.stack([_perceptual(_palette()), _perceptual(second_tones)], 1)
    colour = (expected - _perceptual(tones)).square().sum((1, 2)).argmin()
    edges = torch.zeros(height, width, dtype=torch.bool)
    if kind in ("stripes", "checkerboard"):
        edges = _dilate(shares[kind], 2) - (1 - _dilate(1 - shares[kind], 2)) > 0
    return _Backdrop(kind, _colour_name(colour), tones, _paint(tones, shares[kind]), edges)


def _paint(tones: Tensor, share: Tensor) -> Tensor:
    """The picture `(3, H, W)` of two tones mixed by `share`."""
    return tones[0][:, None, None] + (tones[1] - tones[0])[:, None, None] * share


def _median_colour(pixels: Tensor) -> Tensor:
    """Channel by channel the median of pixels `(3, N)`."""
    return pixels.median(1).values


def _two_tones(pixels: Tensor, share: Tensor, *, graded: bool) -> Tensor:
    """Robust colours `(2, 3)` where `share` is 0 and 1, of pixels `(t, 3, h, w)`."""
    lower, upper = (0.25, 0.75) if graded else (0.5, 0.5)
    low = _median_colour(pixels[..., share < lower].transpose(0, 1).flatten(1))
    high = _median_colour(pixels[..., share > upper].transpose(0, 1).flatten(1))
    if graded:  # the medians lie in the middle of the outer quarters
        centre, half = (low + high) / 2, (high - low) / 2 / 0.75
        return torch.stack([centre - half, centre + half])
    return torch.stack([low, high])


def _stars(video: Tensor, middle: Tensor) -> Tensor | None:
    """Where small bright spots stand still, `(H, W)` bool, when there are enough of them for a sky."""
    lightness = torch.einsum("cthw,c->thw", video - middle[:, None, None, None], video.new_tensor(_LIGHTNESS))
    lasting = lightness.kthvalue(1 + lightness.shape[0] // 4, 0).values
    bright = lasting > 0.12
    if not 0.002 < float(bright.float().mean()) < 0.35:
        return None
    labels = _components(bright)
    sizes = torch.bincount(labels.flatten())
    sizes[0] = 0
    small = (sizes >= 2) & (sizes <= 60)
    if int(small.sum()) < 6:
        return None
    return _dilate(small[labels].float(), 2) > 0


def _components(mask: Tensor) -> Tensor:
    """Labels `(H, W)` of the 8-connected parts of a mask, 0 outside."""
    labels = (torch.arange(mask.numel()) + 1.0).view(mask.shape) * mask
    while True:
        spread = _dilate(labels) * mask
        if torch.equal(spread, labels):
            return labels.long()
        labels = spread


def _around(image: Tensor, reach: int, axis: int) -> list[Tensor]:
    """The image `(..., H, W)` moved by -reach to reach pixels along an axis, its border repeated."""
    size = image.shape[axis]
    places = torch.arange(-reach, size + reach).clamp(0, size - 1)
    padded = image.index_select(axis, places)
    return [padded.narrow(axis, k, size) for k in range(2 * reach + 1)]


def _dilate(image: Tensor, reach: int = 1) -> Tensor:
    """Maximum over a square neighbourhood of `(..., H, W)`; `reach` pixels to each side."""
    rows = reduce(torch.maximum, _around(image, reach, -2))
    return reduce(torch.maximum, _around(rows, reach, -1))


def average(image: Tensor, reach: int = 1) -> Tensor:
    """Mean over a square neighbourhood of `(..., H, W)`; `reach` pixels to each side."""
    rows = reduce(torch.add, _around(image, reach, -2))
    return reduce(torch.add, _around(rows, reach, -1)) / (2 * reach + 1) ** 2


def _find_object(video: Tensor, backdrop: _Backdrop) -> tuple[str, Tensor] | None:
    """The object's colour name and its coverage `(T, H, W)` in [0, 1], or None."""
    frames = video.transpose(0, 1)
    behind = _behind(frames, backdrop)
    away = _length(average(frames - behind))  # (T, H, W)
    limit = max(0.11, 0.5 * float(away.flatten()[::3].quantile(0.985)))
    outside = away > limit
    core = -_dilate(-away) > limit
    chosen = core if core.float().mean() > 0.004 else outside
    if chosen.float().mean() < 0.003:
        return None
    colours = frames.permute(0, 2, 3, 1)[chosen]  # (N, 3)
    distance = torch.cdist(_perceptual(colours), _perceptual(_palette()))
    distance[:, tuple(COLOURS).index(backdrop.colour)] = torch.inf
    nearest = distance.argmin(1)
    votes = torch.bincount(nearest, weights=away[chosen], minlength=len(COLOURS))
    winner = votes.argmax()
    colour = colours[nearest == winner].median(0).values
    toward = colour[:, None, None] - behind
    length = toward.square().sum(1)
    share = ((frames - behind) * toward).sum(1) / length.clamp(min=0.01)
    rest = _length(frames - behind - share[:, None] * toward)
    coverage = share.clamp(0, 1) * (rest < 0.35 * length.sqrt() + 0.08)
    blind = length < 0.02  # here the backdrop has the object's colour: ask the neighbours
    if bool(blind.any()):
        seen = average((~blind).float(), 2)
        coverage = torch.where(blind, average(coverage * ~blind, 2) / seen.clamp(min=0.01), coverage)
    near = average(coverage) > 0.42
    return _colour_name(winner), coverage * _dilate(near.float(), 2)


def _length(colours: Tensor) -> Tensor:
    """Length `(T, H, W)` of colour vectors `(T, 3, H, W)`."""
    return colours.square().sum(1).sqrt()


def _behind(frames: Tensor, backdrop: _Backdrop) -> Tensor:
    """The backdrop `(T, 3, H, W)` in each frame; at the edges of a pattern any mixture of its tones."""
    still = backdrop.image.expand_as(frames)
    if not bool(backdrop.edges.any()):
        return still
    first, second = backdrop.tones
    along = second - first
    share = torch.einsum("tchw,c->thw", frames - first[:, None, None], along) / along.square().sum()
    mixed = first[:, None, None] + share.clamp(0, 1)[:, None] * along[:, None, None]
    return torch.where(backdrop.edges, mixed, still)


def _follow(coverage: Tensor, times: Tensor, y: Tensor, x: Tensor) -> _Track | None:
    """Centres and areas over time, stray pixels far from the object left out."""
    pixel = 4.0 / min(coverage.shape[1:]) ** 2
    peaks = average(coverage, 4).flatten(1).argmax(1)
    centre_y, centre_x = y[peaks // x.shape[1], 0], x[0, peaks % x.shape[1]]
    limit = torch.full_like(times, 0.8)
    near = coverage
    for _ in range(4):
        distance = ((x - centre_x[:, None, None]) ** 2 + (y - centre_y[:, None, None]) ** 2).sqrt()
        near = coverage * (distance < limit[:, None, None])
        mass = near.sum((1, 2)).clamp(min=1e-6)
        centre_x, centre_y = (near * x).sum((1, 2)) / mass, (near * y).sum((1, 2)) / mass
        limit = 2.2 * (mass * pixel / math.pi).sqrt() + 0.1
    areas = mass * pixel
    shown = areas > max(0.015, 0.1 * float(areas.median()))
    if int(shown.sum()) < max(2, 0.5 * len(times)) and len(times) > 1:
        return None
    return _Track(times[shown], torch.stack([centre_x, centre_y], 1)[shown], areas[shown], near[shown])


def _fit(basis: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Least squares of `values` (N,) on 1 and `basis` (..., N): the factor of the basis, and the share explained."""
    basis, values = basis - basis.mean(-1, keepdim=True), values - values.mean()
    factor = (basis * values).sum(-1) / basis.square().sum(-1).clamp(min=1e-9)
    left = (values - factor[..., None] * basis).square().sum(-1)
    return factor, 1 - left / values.square().sum().clamp(min=1e-9)


def _travel(track: _Track) -> str | None:
    """The motion that moves or scales the object, or None when it stays as it is."""
    across, across_fit = _fit(track.times, track.centres[:, 0])
    down, down_fit = _fit(track.times, track.centres[:, 1])
    growth, growth_fit = _fit(track.times, track.areas.log() / 2)
    phases = torch.linspace(0, math.pi, 25)[:24, None]
    bounces, bounce_fits = _fit(-(2 * math.pi * track.times + phases).sin().abs(), track.centres[:, 1])
    bounce, bounce_fit = bounces[bounce_fits.argmax()], bounce_fits.max()
    evidence = {
        "right" if across > 0 else "left": abs(across) * across_fit,
        "down" if down > 0 else "up": abs(down) * down_fit,
        "growing" if growth > 0 else "shrinking": abs(growth) / 0.875 * growth_fit,
        "bouncing": bounce / 1.15 * bounce_fit,
    }
    motion = max(evidence, key=lambda name: float(evidence[name]))
    return motion if evidence[motion] > 0.3 else None


@lru_cache(maxsize=1)
def _outlines() -> tuple[Tensor, Tensor]:
    """Each shape's area at radius 1 `(S,)`, and its polar pictures `(L, S, R, A)` from sharp to blurred."""
    subjects = [Subject(kind, "white", "large", along=0.5) for kind in SHAPES]
    scenes = [Scene((subject,), "plain", "black") for subject in subjects]
    coverage = render(scenes, 1, 256, 256)[1][:, 0, 0]
    y, x = grid(256, 256)
    mass = coverage.sum((1, 2))
    centres = torch.stack([(coverage * x).sum((1, 2)), (coverage * y).sum((1, 2))], 1) / mass[:, None]
    areas = mass * (2 / 256) ** 2 / SIZES["large"] ** 2
    scale = torch.full((len(SHAPES), 1), SIZES["large"])
    pictures = []
    for blur in (0.0, 0.15, 0.3):
        bell = torch.exp(-2 * (math.pi * torch.fft.fftfreq(256, 2 / 256) * blur * SIZES["large"]) ** 2)
        blurred = torch.fft.ifft2(torch.fft.fft2(coverage) * bell[:, None] * bell).real
        pictures.append(_polar(blurred, centres, scale)[:, 0])
    return areas, torch.stack(pictures)


def _polar(images: Tensor, centres: Tensor, radii: Tensor) -> Tensor:
    """Samples `(N, K, R, A)` of images `(N, H, W)` around centres `(N, 2)`, for K radii `(N, K)` each."""
    height, width = images.shape[1:]
    short = min(height, width)
    turn = torch.arange(_ANGLES) * (2 * math.pi / _ANGLES)
    reach = (torch.arange(_RADII) + 0.5) * (_REACH / _RADII)
    ring = reach[:, None, None] * torch.stack([turn.cos(), turn.sin()], -1)  # (R, A, 2)
    points = centres[:, None, None, None] + radii[:, :, None, None, None] * ring  # (N, K, R, A, 2)
    points = points * points.new_tensor([short / width, short / height])
    samples = F.grid_sample(images[:, None], points.flatten(1, 2), align_corners=False)
    return samples.view(len(images), radii.shape[1], _RADII, _ANGLES)


def _compare_outlines(track: _Track, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Likeness `(S,)` of the object to each shape, upright and turning; 1 is equal."""
    areas, outlines = _outlines()
    seen = _polar(track.coverage, track.centres, (track.areas[:, None] / areas).sqrt())  # (N, S, R, A)
    weight = ((torch.arange(_RADII) + 0.5) / _RADII)[:, None]
    weight = weight / (weight.sum() * _ANGLES)
    seen = seen - (seen * weight).sum((2, 3), keepdim=True)
    outlines = outlines - (outlines * weight).sum((2, 3), keepdim=True)
    power = (outlines.square() * weight).sum((2, 3))[:, None]  # (L, 1, S)
    norms = ((seen.square() * weight).sum((2, 3)) * power).sqrt()
    turns = torch.fft.rfft(outlines * weight).conj()
    spectrum = torch.einsum("nsra,lsra->lnsa", torch.fft.rfft(seen), turns)
    likeness = torch.fft.irfft(spectrum, _ANGLES) / norms[..., None].clamp(min=1e-6)  # (L, N, S, A)
    share = (track.areas / track.areas.sum())[:, None, None]  # larger is clearer
    steps = torch.arange(_ANGLES)
    upright = (steps <= 3) | (steps >= _ANGLES - 3)
    still = (likeness * share).sum(1)[..., upright].amax((0, 2))
    turning = torch.zeros_like(still)
    for spins in _SPINS:
        turned = (steps[None] + (track.times * spins * _ANGLES).round().long()[:, None]) % _ANGLES  # (N, A)
        path = likeness.gather(3, turned[:, None].expand_as(likeness))
        turning = torch.maximum(turning, (path * share).sum(1).amax((0, 2)))
    return still, turning


def _size(track: _Track, kind: str, motion: str) -> str:
    radius = float((track.areas / _outlines()[0][SHAPES.index(kind)]).sqrt().mean())
    base = radius / (0.85 if motion in ("growing", "shrinking") else 1.0)
    return min(SIZES, key=lambda name: abs(math.log(SIZES[name] / base)))
