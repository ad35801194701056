"""Does a clip show what a scene asks for? Attribute by attribute, each decided among all that the world has.

What is behind the subjects is found first, then the subjects, then what their tracks are most like of all that
subjects do. Nothing is taken from the scene but how many subjects it has. Knows no prompts, no networks.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

import torch
from torch import Tensor

from . import judge as simple
from .judge import reduced
from .motion import View, poses
from .surroundings import Surroundings, survey, uncovered
from .tracks import Track, subjects
from .weather import specks
from .world import BACKDROPS, MOTIONS, PACES, RICH_MOTIONS, SETTINGS, SHAPES, SIZES, STEPS, Scene, Subject

_DIRECTIONS = ("left", "right", "up", "down")
_GAPS = {"above": (0.0, -0.84), "below": (0.0, 0.84), "left of": (-0.84, 0.0), "right of": (0.84, 0.0)}
_STIRRING = 0.12  # the least that two subjects go, who have less room
_PHASES = 24  # of a bounce
_BEHIND = (0.34, -0.16)
_NEAR, _ALIKE, _CLEAR = (
    0.08,
    0.12,
    0.35,
)  # how far a place, a size (as a logarithm) and an opacity are off in a good clip
_PATIENCE = 9.0  # beyond three times that, a frame is simply wrong


def attributes(scene: Scene) -> dict[str, str]:
    """What a scene says, name by name; the names are those that `score` answers for."""
    first = scene.subject
    said = {
        "kind": first.kind,
        "colour": first.colour,
        "size": first.size,
        "motion": ", ".join(first.motions),
        "pace": first.pace,
        "backdrop": scene.backdrop,
        "backdrop_colour": scene.backdrop_colour,
        "time": scene.time,
        "relation": scene.relation,
    }
    if len(scene.subjects) > 1:
        said |= {"second kind": scene.subjects[1].kind, "second colour": scene.subjects[1].colour}
    said = {name: value for name, value in said.items() if value}
    if scene.backdrop in SETTINGS:
        said["camera"] = scene.camera or "none"
    if scene.time:  # there is no weather in space
        said["weather"] = scene.weather or "none"
    return said


def score(clip: Tensor, scene: Scene, named: Collection[str] | None = None) -> dict[str, bool]:
    """Whether a clip shows what a scene says.

    Args:
        clip: `(3, T, H, W)` float in [-1, 1], any length and size.
        named: the attributes to answer for, of those that `attributes` gives; all when None.
    """
    asked = attributes(scene)
    seen = _plain_sight(clip) if _is_simple(scene) else observed(clip, scene)
    return {name: seen.get(name) == value for name, value in asked.items() if named is None or name in named}


def observed(clip: Tensor, scene: Scene) -> dict[str, str]:
    """What a clip shows, in the names and words of `attributes`; `scene` says only how many subjects to look for.

    Of two subjects the one that is more like the scene's first is called the first.
    """
    video, times = reduced(clip)
    video = video[..., : video.shape[2] // 2 * 2, : video.shape[3] // 2 * 2]
    around = survey(video, times)
    tracks = subjects(video, times, around, len(scene.subjects))
    seen = {"backdrop": around.backdrop, "backdrop_colour": around.backdrop_colour, "time": around.time}
    seen |= {"camera": around.camera or "none", "weather": _weather(video, around, tracks) or "none"}
    if not tracks:
        return seen
    height, width = video.shape[2:]
    wide, high = width / min(height, width), height / min(height, width)
    paired = len(scene.subjects) > 1
    deeds = [_paired_deed(t, times) if paired else _deed(t, times, around.looks, wide, high) for t in tracks]
    order = max(permutations(range(len(tracks))), key=lambda order: _agreement([tracks[i] for i in order], scene))
    first, deed = tracks[order[0]], deeds[order[0]]
    seen |= {"kind": first.kind, "colour": first.colour, "size": deed.size, "motion": ", ".join(deed.motions)}
    seen |= {"pace": deed.pace}
    if len(order) > 1:
        second = tracks[order[1]]
        relation = _relation(first, second, deed)
        seen |= {"second kind": second.kind, "second colour": second.colour, "relation": relation}
    return seen


def _is_simple(scene: Scene) -> bool:
    """Whether the judge of the simple world knows all that the scene has."""
    first = scene.subject
    alone = len(scene.subjects) == 1 and len(first.motions) == 1 and not first.pace
    return alone and scene.backdrop in BACKDROPS and first.kind in SHAPES and first.motion in MOTIONS


def _plain_sight(clip: Tensor) -> dict[str, str | None]:
    verdict = simple.judge(clip)
    return {
        name: getattr(verdict, name) for name in ("kind", "colour", "size", "motion", "backdrop", "backdrop_colour")
    }


def _agreement(tracks: Sequence[Track], scene: Scene) -> int:
    pairs = zip(tracks, scene.subjects, strict=False)
    return sum((track.kind == subject.kind) + (track.colour == subject.colour) for track, subject in pairs)


@dataclass(frozen=True)
class _Deed:
    """What a subject may do, and in which size."""

    motions: tuple[str, ...]
    pace: str
    size: str

    @property
    def spin(self) -> str:
        """Of `tracks.SPINS`."""
        if "spinning" not in self.motions:
            return ""
        return "whole" if len(self.motions) == 1 else ("first", "second")[self.motions.index("spinning")]


@lru_cache(maxsize=8)
def _deeds(times: tuple[float, ...], wide: float, high: float) -> tuple[list[_Deed], Tensor]:
    """All that subjects do, and where they are then: x, y, log radius and opacity, `(N, 4, T)`."""
    ways: list[tuple[tuple[str, ...], str, float]] = [((motion,), "", 0.0) for motion in RICH_MOTIONS]
    ways += [((motion,), pace, 0.0) for motion in _DIRECTIONS for pace in PACES]
    ways += [((one, other), "", 0.0) for one in STEPS for other in STEPS if one != other]
    ways += [(("bouncing",), "", along / _PHASES) for along in range(1, _PHASES)]
    deeds, rows = [], []
    for motions, pace, along in ways:
        for size in SIZES:
            scene = Scene((Subject("star", "red", size, motions, pace, along=along),), "plain", "blue")
            way = poses(scene, times, wide, high)[0]
            deeds.append(_Deed(motions, pace, size))
            rows.append([(pose.x, pose.y, math.log(pose.radius), pose.opacity) for pose in way])
    return deeds, torch.tensor(rows).transpose(1, 2)


def _deed(track: Track, times: Tensor, looks: Sequence[View], wide: float, high: float) -> _Deed:
    """What the track is most like; where it begins is chance, and so is left out."""
    deeds, ways = _deeds(tuple(float(u) for u in times), wide, high)
    zoom, drop = torch.tensor([look.zoom for look in looks]), torch.tensor([look.y for look in looks])
    x, y, size = track.x / zoom, (track.y + drop) / zoom, (track.radius / zoom).log()
    off = torch.stack([x - ways[:, 0], y - ways[:, 1]], 1)  # (N, 2, T)
    weight = track.shown * (track.shown > 0.25)
    off = off - _middle(off, weight)
    place = (off.square().sum(1) / _NEAR**2).clamp(max=_PATIENCE)
    scale = ((size - ways[:, 2]).square() / _ALIKE**2).clamp(max=_PATIENCE)
    visible = (1.6 * track.shown).clamp(max=1)  # blur takes more of what is small
    opacity = ((visible - ways[:, 3]).square() / _CLEAR**2).clamp(max=_PATIENCE)
    cost = ((place + scale) * weight + opacity).mean(1)
    turning = [0.0 if deed.spin == track.spin else 1.0 for deed in deeds]
    parts = [0.1 * (len(deed.motions) - 1) for deed in deeds]  # of what is nearly as like, the simpler
    cost = cost + torch.tensor(turning) + torch.tensor(parts)
    return deeds[int(cost.argmin())]


def _paired_deed(track: Track, times: Tensor) -> _Deed:
    """What one of two subjects does: they go sideways at most, and how far depends on the room between them."""
    u = times - times.mean()
    way = float((u * track.x).sum() / u.square().sum().clamp(min=1e-6))
    size = min(SIZES, key=lambda name: abs(math.log(SIZES[name] / float(track.radius.median()))))
    return _Deed(("still",) if abs(way) < _STIRRING else ("left",) if way < 0 else ("right",), "", size)


def _middle(off: Tensor, weight: Tensor) -> Tensor:
    """The weighted median of the last dimension, which is kept."""
    ordered, order = off.sort(-1)
    sums = weight.expand_as(off).gather(-1, order).cumsum(-1)
    half = (sums < sums[..., -1:] / 2).sum(-1, keepdim=True).clamp(max=off.shape[-1] - 1)
    return ordered.gather(-1, half)


def _relation(first: Track, second: Track, deed: _Deed) -> str:
    """How the first of two subjects stands to the second."""
    x, y = float((first.x - second.x).median()), float((first.y - second.y).median())
    places = {**_GAPS, "behind": _BEHIND}
    nearest = min(places, key=lambda name: math.dist((x, y), places[name]))
    trailing = {"left": "right of", "right": "left of"}.get(deed.motions[0])
    return "following" if nearest == trailing and len(deed.motions) == 1 else nearest


def _weather(video: Tensor, around: Surroundings, tracks: Sequence[Track]) -> str:
    if not around.time:
        return ""
    height, width = video.shape[2:]
    hidden = torch.zeros_like(around.cost, dtype=torch.bool)
    for track in tracks:
        hidden = hidden | track.disc(height, width)
    return specks(video, uncovered(video, around, hidden), hidden).weather
