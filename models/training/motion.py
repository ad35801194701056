"""Where the subjects of a scene are, how large, how turned and how visible, at any time. Numbers only, no pixels.

Time `u` runs from 0 to 1 over the clip, whatever its length. Every motion is an offset from where it begins; the
beginning is then chosen so that the whole way stays on the canvas. Lengths are in half-sides of the shorter side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .world import GROUNDED, SETTINGS, Scene, Subject

_MARGIN, _SLACK = 0.06, 0.15
_WAYS = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0)}
_GAP = 0.84  # between the centres of two subjects above or beside one another
_BEHIND = (0.34, -0.16)
_STOPS = 48  # times at which a way is measured; its turning points are among them


@dataclass(frozen=True)
class Pose:
    """A subject at one time: its centre, radius and size as it is drawn, turned clockwise in radians, and opacity."""

    x: float
    y: float
    radius: float
    turn: float
    opacity: float


@dataclass(frozen=True)
class View:
    """The camera at one time: the backdrop that it looks at, and how many times as large things are."""

    x: float
    y: float
    zoom: float


def poses(scene: Scene, times: Sequence[float], wide: float = 1.0, high: float = 1.0) -> list[list[Pose]]:
    """For every subject its poses at `times`; the canvas reaches from -wide to wide and from -high to high."""
    first = scene.subject
    if len(scene.subjects) == 1:
        return [_alone(first, scene, times, wide, high)]
    second = scene.subjects[1]
    reach_x, reach_y = wide - first.radius - _MARGIN, high - first.radius - _MARGIN
    lag = -_GAP if first.motion == "right" else _GAP
    gap_x, gap_y = {
        "above": (0.0, -_GAP),
        "below": (0.0, _GAP),
        "left of": (-_GAP, 0.0),
        "right of": (_GAP, 0.0),
        "behind": _BEHIND,
        "following": (lag, 0.0),
    }[scene.relation]
    length_x, length_y = 2 * reach_x - _SLACK - abs(gap_x), 2 * reach_y
    ends = [_offset(first.motion, u, length_x, length_y) for u in (0.0, 1.0)]
    start_x = _start([end[0] + aside for end in ends for aside in (0.0, gap_x)], reach_x, first.along)
    start_y = _start([end[1] + aside for end in ends for aside in (0.0, gap_y)], reach_y, 0.5 + 0.5 * first.across)
    way = [_offset(first.motion, u, length_x, length_y) for u in times]
    return [
        [Pose(start_x + aside + dx, start_y + along + dy, each.radius, each.angle, 1.0) for dx, dy in way]
        for each, (aside, along) in ((first, (gap_x, gap_y)), (second, (0.0, 0.0)))
    ]


def views(scene: Scene, times: Sequence[float]) -> list[View]:
    """The camera at `times`."""
    camera = scene.camera
    if camera in ("pan left", "pan right"):
        side = 1.0 if camera == "pan right" else -1.0
        return [View(side * 0.8 * (u - 0.5), 0.0, 1.0) for u in times]
    if camera in ("zoom in", "zoom out"):
        ends = (0.8, 1.3) if camera == "zoom in" else (1.3, 0.8)
        return [View(0.0, 0.0, ends[0] * (ends[1] / ends[0]) ** u) for u in times]
    if camera == "shake":
        return [
            View(0.06 * math.sin(34 * u) + 0.03 * math.sin(51 * u), 0.06 * math.sin(41 * u + 1), 1.06) for u in times
        ]
    return [View(0.0, 0.0, 1.0) for _ in times]


def _alone(subject: Subject, scene: Scene, times: Sequence[float], wide: float, high: float) -> list[Pose]:
    reach_x, reach_y = wide - subject.radius - _MARGIN, high - subject.radius - _MARGIN
    if subject.motion == "bouncing":
        return [_bouncing(subject, u, reach_x, reach_y) for u in times]
    share = (0.8 if len(subject.motions) > 1 else 1.0) * (0.4 if subject.pace == "slow" else 1.0)
    lengths = share * (2 * reach_x - _SLACK), share * (2 * reach_y - _SLACK)
    whole = [_step(subject, k / _STOPS, *lengths) for k in range(_STOPS + 1)]
    across, down = [step.x for step in whole], [step.y for step in whole]
    goes_across, goes_down = (max(way) - min(way) > 1e-6 for way in (across, down))
    # What does not move along an axis is somewhere near its middle.
    along_x = subject.along if goes_across else 0.5 + 0.175 * subject.across
    along_y = subject.along if goes_down else 0.5 + 0.175 * (subject.across if goes_across else 2 * subject.along - 1)
    if subject.motion == "zigzag":
        along_y = 0.5 + 0.175 * (2 * subject.along - 1)
    grounded = scene.backdrop in SETTINGS and scene.backdrop != "space" and subject.kind in GROUNDED
    if grounded and not goes_down:
        along_y = 0.82 + 0.16 * subject.across
    start_x, start_y = _start(across, reach_x, along_x), _start(down, reach_y, along_y)
    return [
        Pose(start_x + step.x, start_y + step.y, step.radius, step.turn, step.opacity)
        for step in (_step(subject, u, *lengths) for u in times)
    ]


def _step(subject: Subject, u: float, length_x: float, length_y: float) -> Pose:
    """A subject at time `u`, its centre counted from where it begins; ways along the axes are so long."""
    parts = len(subject.motions)
    index = min(parts - 1, int(u * parts))
    x = y = turn = 0.0
    scale = 1.0
    for done, motion in enumerate(subject.motions[: index + 1]):
        v = u * parts - index if done == index else 1.0
        if subject.pace == "fast":
            v = min(1.0, v / 0.5)
        dx, dy = _offset(motion, v, length_x, length_y)
        x, y, scale = x + dx, y + dy, scale * _scale(motion, v, parts)
        turn += 2 * math.pi * v if motion == "spinning" else 0.0
    return Pose(x, y, subject.radius * scale, subject.angle + turn, _opacity(subject.motion, u))


def _start(offsets: Sequence[float], reach: float, share: float) -> float:
    """Where a way begins so that it stays within `reach`; `share` of the room that is left lies before it."""
    low, high = min(offsets), max(offsets)
    room = max(0.0, 2 * reach - (high - low))
    return -reach + room * share - low


def _offset(motion: str, v: float, length_x: float, length_y: float) -> tuple[float, float]:
    """How far a motion has come at its time `v`, of ways so long."""
    if motion in _WAYS:
        x, y = _WAYS[motion]
        return x * v * length_x, y * v * length_y
    if motion == "zigzag":
        return v * length_x, 0.45 * length_y * (abs((v * 6) % 2 - 1) - 0.5)
    return 0.0, 0.0


def _scale(motion: str, v: float, parts: int) -> float:
    """How many times as large as at its beginning; one that grows all the time begins at half its size."""
    if motion == "growing":
        return (0.5 + 0.7 * v) if parts == 1 else 1 + 0.5 * v
    if motion == "shrinking":
        return (1.2 - 0.7 * v) if parts == 1 else 1 - 0.5 * v
    return 1.0


def _opacity(motion: str, u: float) -> float:
    """How visible one is that appears or disappears in the middle of the clip."""
    if motion not in ("appearing", "disappearing"):
        return 1.0
    shown = min(1.0, max(0.0, (u - 0.35) / 0.3))
    shown = shown * shown * (3 - 2 * shown)
    return shown if motion == "appearing" else 1 - shown


def _bouncing(subject: Subject, u: float, reach_x: float, reach_y: float) -> Pose:
    height = abs(math.sin(2 * math.pi * u + math.pi * subject.along))
    return Pose(0.35 * subject.across * reach_x, reach_y - 2 * reach_y * height, subject.radius, subject.angle, 1.0)
