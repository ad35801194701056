"""What is behind the subjects of a clip: how the camera moved, which backdrop, what time of day, what falls.

The clip is laid on one picture under each movement of the camera in turn, and the one that lays it best is kept. What
the picture shows is compared row by row with the colours that landscapes have there, over many variations of them, and
with the patterns. Knows no subjects.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from .judge import average, fitted_backdrop, grid
from .landscapes import backdrop
from .motion import View, views
from .world import CAMERAS, SETTINGS, TIMES, Scene, Subject

_NO_SUBJECT = (Subject("circle", "red", "small"),)
_BAND, _REACH = 0.125, 1.75  # landscapes are described in rows this high, this far from the middle
_BANDS = round(2 * _REACH / _BAND)
_VARIATIONS, _COLOURS, _CELLS = 6, 20, 10
_SPREAD = 0.06  # of a colour around the one that it should be
_RARE = 0.02  # what a colour costs that is e times rarer, as a squared distance
_FLOOR = math.exp(-7.0)
_SURER = 0.96  # a camera moves where the frames then agree so much better
_NIGHT = 0.45  # how light a colour is behind stars


@dataclass(frozen=True)
class Surroundings:
    """What is behind the subjects, for a clip of T frames.

    Attributes:
        looks: where the camera is, frame by frame.
        cost: `(T, H, W)`, how far each pixel is from what may be there when no subject is, as a squared distance.
        behind: `(3, T, H, W)`, what lasts, as each frame would show it.
    """

    backdrop: str
    backdrop_colour: str
    time: str
    camera: str
    looks: Sequence[View]
    cost: Tensor
    behind: Tensor


def survey(video: Tensor, times: Tensor) -> Surroundings:
    """Look past the subjects of a clip `(3, T, H, W)` in [0, 1] whose frames are at `times` `(T,)`, 0 to 1."""
    moments = [float(u) for u in times]
    camera = _camera(video, moments)
    looks = _views(camera, moments)
    picture, rows = _lasting(video, looks)
    setting, time, likelihood = _landscape(picture, rows)
    pattern, pattern_likelihood, image = _pattern(video)
    if pattern_likelihood > likelihood:
        behind = image[:, None].expand_as(video)
        return Surroundings(*pattern, "", "", _views("", moments), (video - behind).square().sum(0), behind)
    behind = _as_seen(picture, looks, *video.shape[-2:])
    cost = _strangeness(video, setting, time, looks)
    lasting = _strangeness(behind[:, :1] if not camera else behind, setting, time, looks)
    # What lasts may be the subject, where it stays for long; then a frame without it is the less strange.
    changed = (video - behind).square().sum(0) * (lasting <= cost + 0.005)
    return Surroundings(setting, "", time, camera, looks, torch.maximum(cost, changed), behind)


def uncovered(video: Tensor, around: Surroundings, hidden: Tensor) -> Tensor:
    """What is behind the subjects `(3, T, H, W)`, when they hide so much of each frame `(T, H, W)` bool."""
    if around.backdrop_colour:
        return around.behind
    picture, _ = _lasting(video, around.looks, hidden)
    return _as_seen(picture, around.looks, *video.shape[-2:])


def _views(camera: str, moments: Sequence[float]) -> list[View]:
    return views(Scene(_NO_SUBJECT, "sea", camera=camera), moments)


def _camera(video: Tensor, moments: list[float]) -> str:
    """The movement under which the frames agree best on one picture."""
    step = max(1, (len(moments) - 1) // 8)
    small = average(F.avg_pool2d(video[:, ::step].transpose(0, 1), 2).transpose(0, 1))
    misses = {}
    for camera in ("", *CAMERAS):
        looks = _views(camera, moments[::step])
        laid, seen = _laid(small, looks)
        middle = _middle(laid, seen)
        away = (laid - middle[:, None]).abs().sum(0).clamp(max=0.08)
        seen = seen * (2 * seen.sum(0) >= len(seen))  # few frames agree on anything
        misses[camera] = float((away * seen).sum() / seen.sum())
    best = min(misses, key=lambda name: misses[name])
    return best if misses[best] < _SURER * misses[""] else ""


def _extent(looks: Sequence[View], height: int, width: int) -> tuple[float, float]:
    """How far the camera sees up and to the side, in half-sides."""
    high, wide = height / min(height, width), width / min(height, width)
    return (
        max(high / look.zoom + abs(look.y) for look in looks),
        max(wide / look.zoom + abs(look.x) for look in looks),
    )


def _laid(video: Tensor, looks: Sequence[View]) -> tuple[Tensor, Tensor]:
    """The frames `(3, T, h, w)` where they belong on the picture, and where each has anything to say `(T, h, w)`."""
    height, width = video.shape[-2:]
    if all(look == View(0.0, 0.0, 1.0) for look in looks):
        return video, torch.ones_like(video[0])
    high, wide = height / min(height, width), width / min(height, width)
    reach_y, reach_x = _extent(looks, height, width)
    y = torch.linspace(-reach_y, reach_y, round(height * reach_y / high))[:, None]
    x = torch.linspace(-reach_x, reach_x, round(width * reach_x / wide))[None]
    table = torch.tensor([(look.x, look.y, look.zoom) for look in looks]).view(-1, 3, 1, 1)
    at_x, at_y = (x - table[:, 0]) * table[:, 2] / wide, (y - table[:, 1]) * table[:, 2] / high
    points = torch.stack([at_x.expand(-1, len(y), -1), at_y.expand(-1, -1, x.shape[1])], -1)
    laid = F.grid_sample(video.transpose(0, 1), points, padding_mode="border", align_corners=False)
    return laid.transpose(0, 1), (points.abs().amax(-1) <= 1).float()


def _middle(laid: Tensor, seen: Tensor) -> Tensor:
    """The median `(3, h, w)` of what is seen of each place."""
    if bool(seen.all()):
        return laid.median(1).values
    hidden = torch.where(seen[None] > 0, laid, laid.new_tensor(9.0)).sort(1).values  # the unseen come last
    middle = ((seen.sum(0) - 1).clamp(min=0) / 2).long()
    return hidden.gather(1, middle[None, None].expand(3, 1, -1, -1))[:, 0]


def _lasting(video: Tensor, looks: Sequence[View], hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The lasting picture `(3, h, w)` of all that the camera sees, and the heights of its rows `(h,)`."""
    height, width = video.shape[-2:]
    laid, seen = _laid(video, looks)
    if hidden is not None:
        if laid is not video:
            hidden = _laid(hidden[None].float(), looks)[0][0] > 0.3
        seen = seen * ~hidden
    picture = _middle(laid, seen)
    empty = seen.amax(0) == 0
    if bool(empty.any()):
        picture = _filled(picture, empty)
    reach_y, _ = _extent(looks, height, width)
    rows = grid(height, width)[0][:, 0] if laid is video else torch.linspace(-reach_y, reach_y, picture.shape[1])
    return picture, rows


def _filled(picture: Tensor, empty: Tensor) -> Tensor:
    """The picture `(3, h, w)` with its empty places painted like the nearest ones to the left and right."""
    places = torch.arange(picture.shape[2], dtype=torch.float32).expand(empty.shape)
    left = torch.where(empty, -1e6, places).cummax(1).values
    right = torch.where(empty, 1e6, places).flip(1).cummin(1).values.flip(1)
    share = ((places - left) / (right - left).clamp(min=1)).clamp(0, 1)
    share = torch.where(left < 0, 1.0, torch.where(right > picture.shape[2], 0.0, share))
    last = picture.shape[2] - 1
    ends = [picture.gather(2, side.clamp(0, last).long().expand_as(picture)) for side in (left, right)]
    return torch.where(empty, ends[0] * (1 - share) + ends[1] * share, picture).clamp(0, 1)


def _as_seen(picture: Tensor, looks: Sequence[View], height: int, width: int) -> Tensor:
    """The picture as the camera shows it in each frame `(3, T, H, W)`."""
    if picture.shape[1:] == (height, width) and all(look == View(0.0, 0.0, 1.0) for look in looks):
        return picture[:, None].expand(-1, len(looks), -1, -1)
    reach_y, reach_x = _extent(looks, height, width)
    y, x = grid(height, width)
    places = [
        torch.stack(
            [
                ((x / look.zoom + look.x) / reach_x).expand(height, -1),
                ((y / look.zoom + look.y) / reach_y).expand(-1, width),
            ],
            -1,
        )
        for look in looks
    ]
    seen = F.grid_sample(
        picture.expand(len(looks), -1, -1, -1), torch.stack(places), align_corners=True, padding_mode="border"
    )
    return seen.transpose(0, 1)


@lru_cache(maxsize=1)
def _landscapes() -> tuple[list[tuple[str, str]], Tensor, Tensor]:
    """Every setting and time, the colours that each has in each band of rows `(N, bands, K, 3)`, and their shares."""
    line = torch.arange(-_REACH + _BAND / 4, _REACH, _BAND / 2)
    names = [(setting, time) for setting in SETTINGS for time in (TIMES if setting != "space" else ("",))]
    colours, shares = [], []
    for setting, time in names:
        pictures = [
            backdrop(Scene(_NO_SUBJECT, setting, time=time, variation=seed), line[:, None], line[None], 0.06)
            for seed in range(_VARIATIONS)
        ]
        bands = torch.stack(pictures).view(_VARIATIONS, 3, _BANDS, -1).permute(2, 0, 3, 1).flatten(1, 2)
        found = [_main_colours(band) for band in bands]
        colours.append(torch.stack([colour for colour, _ in found]))
        shares.append(torch.stack([share for _, share in found]))
    return names, torch.stack(colours), torch.stack(shares)


def _main_colours(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """The colours `(K, 3)` that pixels `(N, 3)` mostly have, and the share `(K,)` of each."""
    cells = (pixels * _CELLS).round().long()
    keys = (cells[:, 0] * 64 + cells[:, 1]) * 64 + cells[:, 2]
    places, counts = torch.unique(keys, return_inverse=True, return_counts=True)[1:]
    means = torch.zeros(len(counts), 3).index_add_(0, places, pixels) / counts[:, None]
    order = counts.argsort(descending=True)[:_COLOURS]
    colours, shares = means[order], counts[order] / len(pixels)
    missing = _COLOURS - len(order)
    return F.pad(colours, (0, 0, 0, missing), value=9.0), F.pad(shares, (0, missing), value=1e-6)


def _band_of(rows: Tensor) -> Tensor:
    return ((rows + _REACH) / _BAND).long().clamp(0, _BANDS - 1)


def _landscape(picture: Tensor, rows: Tensor) -> tuple[str, str, float]:
    """The setting and time whose colours the picture has, and how likely they make its pixels on the average."""
    names, colours, shares = _landscapes()
    pixels = picture[:, ::2, ::2].permute(1, 2, 0)  # (h, w, 3)
    bands = _band_of(rows[::2])
    away = torch.cdist(pixels.expand(len(names), -1, -1, -1), colours[:, bands]).square()  # (N, h, w, K)
    chance = shares / shares.amax(-1, keepdim=True)  # patterns pay nothing for their colours either
    chance = (chance[:, bands, None] * (-away / (2 * _SPREAD**2)).exp()).sum(-1)
    scores = (chance + _FLOOR).log().mean((1, 2))
    best = int(scores.argmax())
    return *names[best], float(scores[best])


def _strangeness(video: Tensor, setting: str, time: str, looks: Sequence[View]) -> Tensor:
    """How unlike the landscape's colours in its row each pixel is `(T, H, W)`."""
    names, colours, shares = _landscapes()
    index = names.index((setting, time))
    rare = -_RARE * shares[index].clamp(min=1e-6).log()
    y = grid(*video.shape[-2:])[0]
    costs = []
    for frame, look in zip(video.unbind(1), looks, strict=False):
        bands = _band_of(y[:, 0] / look.zoom + look.y)
        pixels, palette = frame.permute(1, 2, 0), colours[index, bands]
        away = pixels.square().sum(-1, keepdim=True) - 2 * pixels @ palette.transpose(1, 2)
        away = away + palette.square().sum(-1)[:, None] + rare[bands][:, None]
        costs.append(away.amin(-1))
    return torch.stack(costs).clamp(min=0, max=0.6)


def _pattern(video: Tensor) -> tuple[tuple[str, str], float, Tensor]:
    """The pattern that is most like the clip, how likely it makes its pixels, and its picture `(3, H, W)`."""
    kind, colour, image = fitted_backdrop(video)
    y, x = grid(*video.shape[-2:])
    ideal = backdrop(Scene(_NO_SUBJECT, "plain" if kind == "stars" else kind, colour), y, x, float(y[1] - y[0]))
    stars = torch.zeros_like(ideal[0], dtype=torch.bool)
    if kind == "stars":  # those of this clip, which no other has
        ideal = ideal * (1.0 if colour == "black" else _NIGHT)
        stars = (image - ideal).square().sum(0) > 0.05
    chance = (-(video.median(1).values - ideal).square().sum(0) / (2 * _SPREAD**2)).exp()
    chance = torch.where(stars, 0.1, chance)
    return (kind, colour), float((chance + _FLOOR).log().mean()), image
