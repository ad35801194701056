"""What a rendered clip shows, known exactly: where each subject is on the screen, and how every pixel moves.

Pixels are counted from the upper left corner of the picture, so the middle of its first pixel is at (0.5, 0.5); turns
are clockwise in radians. Draws nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from .motion import View, poses, views
from .world import Scene


@dataclass(frozen=True)
class Track:
    """A subject on the screen, a value a frame.

    Attributes:
        x, y: of its centre, in pixels; also beyond the edge.
        radius: of the circle round its drawing, in pixels.
        turn: clockwise, in radians.
        opacity: 0 to 1.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    radius: tuple[float, ...]
    turn: tuple[float, ...]
    opacity: tuple[float, ...]


@dataclass(frozen=True)
class Camera:
    """The camera, a value a frame: how far the backdrop has gone by, in pixels, and how many times as large it is."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    zoom: tuple[float, ...]


def tracks(scene: Scene, frames: int, height: int, width: int) -> list[Track]:
    """Where every subject of a scene is in a clip of this length and size."""
    unit, times = min(height, width) / 2, _times(frames)
    looks = views(scene, times)
    found = []
    for ways in poses(scene, times, width / 2 / unit, height / 2 / unit):
        rows = [
            (
                pose.x * look.zoom * unit + width / 2,
                (pose.y * look.zoom - look.y) * unit + height / 2,
                pose.radius * look.zoom * unit,
                pose.turn,
                pose.opacity,
            )
            for pose, look in zip(ways, looks, strict=True)
        ]
        found.append(Track(*zip(*rows, strict=True)))
    return found


def camera(scene: Scene, frames: int, height: int, width: int) -> Camera:
    """Where the camera looks in a clip of this length and size."""
    unit = min(height, width) / 2
    looks = views(scene, _times(frames))
    rows = [(look.x * unit, look.y * unit, look.zoom) for look in looks]
    return Camera(*zip(*rows, strict=True))


def as_data(scene: Scene, frames: int, height: int, width: int) -> dict[str, Any]:
    """A scene and what is known of its clip, as JSON values."""
    seen = tracks(scene, frames, height, width)
    return {
        "scene": asdict(scene),
        "subjects": [
            {"kind": subject.kind, "colour": subject.colour, "size": subject.size, "mirrored": subject.mirrored}
            | _rounded(track)
            for subject, track in zip(scene.subjects, seen, strict=True)
        ],
        "camera": _rounded(camera(scene, frames, height, width)),
    }


def flow(scene: Scene, masks: Tensor, frames: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """How every pixel moves to the next frame: subjects by their poses, the backdrop by the camera.

    What falls or blows past is no part of it.

    Args:
        masks: `(subjects, T, H, W)` in [0, 1], what can be seen of each, as `render.draw` gives them.

    Returns:
        pixels to the right and downwards `(T - 1, 2, H, W)`, and whose they are `(T - 1, H, W)` uint8: 0 the backdrop,
        1 the first subject, 2 the second.
    """
    y = torch.arange(height)[:, None] + 0.5
    x = torch.arange(width)[None] + 0.5
    moved = torch.empty(frames - 1, 2, height, width)
    owner = torch.zeros(frames - 1, height, width, dtype=torch.uint8)
    unit, looks, seen = min(height, width) / 2, views(scene, _times(frames)), tracks(scene, frames, height, width)
    for index in range(frames - 1):
        to_x, to_y = _past(looks[index], looks[index + 1], x - width / 2, y - height / 2, unit)
        moved[index, 0], moved[index, 1] = to_x + width / 2 - x, to_y + height / 2 - y
        for number, track in enumerate(seen):
            shown = masks[number, index] >= max(0.01, 0.5 * track.opacity[index])
            to_x, to_y = _carried(track, index, x, y)
            moved[index, 0] = torch.where(shown, to_x - x, moved[index, 0])
            moved[index, 1] = torch.where(shown, to_y - y, moved[index, 1])
            owner[index][shown] = number + 1
    return moved, owner


def _times(frames: int) -> list[float]:
    return [index / max(frames - 1, 1) for index in range(frames)]


def _past(look: View, then: View, x: Tensor, y: Tensor, unit: float) -> tuple[Tensor, Tensor]:
    """Where points of the backdrop, counted from the middle of the screen, are seen a frame later."""
    return (
        (x / look.zoom + (look.x - then.x) * unit) * then.zoom,
        (y / look.zoom + (look.y - then.y) * unit) * then.zoom,
    )


def _carried(track: Track, index: int, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Where points that are fixed to a subject are a frame later."""
    turn = torch.tensor(track.turn[index + 1] - track.turn[index])
    scale = track.radius[index + 1] / track.radius[index]
    dx, dy = scale * (x - track.x[index]), scale * (y - track.y[index])
    cos, sin = turn.cos(), turn.sin()
    return track.x[index + 1] + cos * dx - sin * dy, track.y[index + 1] + sin * dx + cos * dy


def _rounded(record: Track | Camera) -> dict[str, list[float]]:
    return {name: [round(value, 4) for value in values] for name, values in asdict(record).items()}
