"""How every kind of subject looks: flat parts on one another, kept as tables that the renderer samples.

A part is an outline, as a function from points to signed distances, and a paint: a shade of the subject's own
colour, or a colour that it always has. A kind's drawing lies in the unit circle, y downwards. Knows no scenes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from .world import KINDS

SIDE, REACH = 192, 1.6
"""A table covers the square of half-side 1.6 with 192 x 192 samples."""

Outline = Callable[[Tensor], Tensor]
Paint = float | tuple[int, int, int]

_DARK, _BLACK, _WHITE, _SKIN = 0.72, (32, 32, 38), (250, 250, 248), (250, 225, 190)
_BROWN, _GREY, _GLASS, _FLAME = (126, 84, 50), (120, 126, 138), (190, 226, 245), (252, 170, 50)


@dataclass(frozen=True)
class Part:
    """One flat piece of a drawing: its outline, and a shade of the subject's colour or a colour of its own."""

    outline: Outline
    paint: Paint = 1.0


def disc(x: float, y: float, radius: float) -> Outline:
    """A filled circle."""
    return lambda points: (points - points.new_tensor([x, y])).norm(dim=-1) - radius


def oval(x: float, y: float, wide: float, high: float) -> Outline:
    """A filled ellipse; distances are near its edge only as they should be."""

    def outline(points: Tensor) -> Tensor:
        scaled = (points - points.new_tensor([x, y])) / points.new_tensor([wide, high])
        length = scaled.norm(dim=-1)
        slope = (scaled / points.new_tensor([wide, high])).norm(dim=-1) / length.clamp(min=1e-6)
        return (length - 1) / slope.clamp(min=1e-6)

    return outline


def box(x: float, y: float, wide: float, high: float, rounded: float = 0.0) -> Outline:
    """A rectangle of these half-sides, its corners rounded by so much."""

    def outline(points: Tensor) -> Tensor:
        away = (points - points.new_tensor([x, y])).abs() - points.new_tensor([wide - rounded, high - rounded])
        return away.clamp(min=0).norm(dim=-1) + away.amax(-1).clamp(max=0) - rounded

    return outline


def stroke(x: float, y: float, to_x: float, to_y: float, radius: float) -> Outline:
    """A line with round ends."""

    def outline(points: Tensor) -> Tensor:
        start, way = points.new_tensor([x, y]), points.new_tensor([to_x - x, to_y - y])
        share = (((points - start) * way).sum(-1) / way.square().sum()).clamp(0, 1)
        return (points - start - share[..., None] * way).norm(dim=-1) - radius

    return outline


def polygon(corners: Sequence[tuple[float, float]]) -> Outline:
    """A closed polygon."""

    def outline(points: Tensor) -> Tensor:
        a = points.new_tensor(corners)
        edge = a.roll(-1, 0) - a
        offset = points[:, None] - a
        t = ((offset * edge).sum(-1) / edge.square().sum(-1)).clamp(0, 1)
        distance = (offset - t[..., None] * edge).norm(dim=-1).amin(1)
        below, above = a[:, 1] <= points[:, 1:], a.roll(-1, 0)[:, 1] > points[:, 1:]
        side = edge[:, 0] * offset[..., 1] - edge[:, 1] * offset[..., 0]
        winding = (below & above & (side > 0)).sum(1) - (~below & ~above & (side < 0)).sum(1)
        return torch.where(winding != 0, -distance, distance)

    return outline


def without(whole: Outline, taken: Outline) -> Outline:
    """An outline less another."""
    return lambda points: torch.maximum(whole(points), -taken(points))


def ring(radius: float, half_width: float) -> Outline:
    """A circle that is not filled."""
    return lambda points: (points.norm(dim=-1) - radius).abs() - half_width


def _star(points: int, outer: float, inner: float) -> Outline:
    turns = [math.pi * k / points - math.pi / 2 for k in range(2 * points)]
    radii = (outer, inner)
    return polygon([(radii[k % 2] * math.cos(a), radii[k % 2] * math.sin(a)) for k, a in enumerate(turns)])


def _heart() -> Outline:
    turns = [2 * math.pi * k / 48 for k in range(48)]
    return polygon(
        [
            (
                16 * math.sin(a) ** 3 / 17,
                -(13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)) / 17 - 0.12,
            )
            for a in turns
        ]
    )


def _petals() -> list[Part]:
    turns = [2 * math.pi * k / 6 for k in range(6)]
    return [Part(disc(0.42 * math.cos(a), -0.35 + 0.42 * math.sin(a), 0.27)) for a in turns]


def _drawing(kind: str) -> list[Part]:
    """The parts of a kind, from back to front."""
    drawings: dict[str, Callable[[], list[Part]]] = {
        "circle": lambda: [Part(disc(0, 0, 0.92))],
        "square": lambda: [Part(box(0, 0, 0.8, 0.8))],
        "triangle": lambda: [Part(polygon([(0.0, -0.95), (0.92, 0.72), (-0.92, 0.72)]))],
        "star": lambda: [Part(_star(5, 1.0, 0.45))],
        "heart": lambda: [Part(_heart())],
        "ring": lambda: [Part(ring(0.72, 0.24))],
        "boat": lambda: [
            Part(box(-0.04, -0.35, 0.045, 0.62), _BROWN),
            Part(polygon([(0.06, -0.95), (0.78, 0.2), (0.06, 0.2)]), _WHITE),
            Part(polygon([(-0.14, -0.8), (-0.14, 0.2), (-0.66, 0.2)]), _WHITE),
            Part(polygon([(-0.98, 0.28), (0.98, 0.28), (0.62, 0.86), (-0.66, 0.86)])),
            Part(box(0.0, 0.36, 0.9, 0.07), _DARK),
        ],
        "car": lambda: [
            Part(polygon([(-0.62, 0.0), (-0.4, -0.52), (0.28, -0.52), (0.62, 0.0)])),
            Part(polygon([(-0.48, -0.04), (-0.33, -0.4), (-0.08, -0.4), (-0.08, -0.04)]), _GLASS),
            Part(polygon([(0.04, -0.04), (0.04, -0.4), (0.23, -0.4), (0.46, -0.04)]), _GLASS),
            Part(box(0.0, 0.2, 0.98, 0.26, 0.14)),
            Part(disc(0.9, 0.16, 0.08), _FLAME),
            Part(disc(-0.52, 0.46, 0.25), _BLACK),
            Part(disc(0.52, 0.46, 0.25), _BLACK),
            Part(disc(-0.52, 0.46, 0.1), _GREY),
            Part(disc(0.52, 0.46, 0.1), _GREY),
        ],
        "bird": lambda: [
            Part(polygon([(-0.5, 0.1), (-1.0, -0.16), (-0.98, 0.26)]), _DARK),
            Part(polygon([(0.74, -0.34), (1.0, -0.22), (0.74, -0.1)]), _FLAME),
            Part(oval(-0.05, 0.14, 0.66, 0.42)),
            Part(disc(0.52, -0.22, 0.33)),
            Part(polygon([(0.14, 0.08), (-0.46, -0.72), (-0.36, 0.2)]), _DARK),
            Part(disc(0.6, -0.28, 0.08), _BLACK),
        ],
        "fish": lambda: [
            Part(polygon([(-0.42, 0.0), (-1.0, -0.5), (-0.84, 0.0), (-1.0, 0.5)]), _DARK),
            Part(polygon([(-0.2, -0.36), (0.1, -0.78), (0.34, -0.34)]), _DARK),
            Part(oval(0.18, 0.0, 0.8, 0.5)),
            Part(polygon([(0.02, 0.1), (-0.28, 0.4), (0.22, 0.3)]), _DARK),
            Part(disc(0.62, -0.1, 0.13), _WHITE),
            Part(disc(0.65, -0.1, 0.07), _BLACK),
        ],
        "balloon": lambda: [
            Part(stroke(0.0, 0.5, 0.0, 1.0, 0.035), _GREY),
            Part(polygon([(0.0, 0.44), (0.13, 0.62), (-0.13, 0.62)]), _DARK),
            Part(oval(0.0, -0.22, 0.6, 0.74)),
            Part(oval(-0.22, -0.48, 0.1, 0.18), _WHITE),
        ],
        "house": lambda: [
            Part(box(0.44, -0.6, 0.11, 0.26), _GREY),
            Part(box(0.0, 0.36, 0.72, 0.52), (244, 232, 208)),
            Part(polygon([(0.0, -0.95), (0.96, -0.12), (-0.96, -0.12)])),
            Part(box(-0.3, 0.52, 0.17, 0.36), _BROWN),
            Part(box(0.3, 0.26, 0.19, 0.19), _GLASS),
        ],
        "tree": lambda: [
            Part(box(0.0, 0.66, 0.15, 0.32), _BROWN),
            Part(disc(-0.38, 0.02, 0.42)),
            Part(disc(0.38, 0.02, 0.42)),
            Part(disc(0.0, -0.42, 0.54)),
            Part(disc(0.0, 0.06, 0.4)),
        ],
        "rocket": lambda: [
            Part(polygon([(-0.2, 0.6), (0.2, 0.6), (0.0, 1.0)]), _FLAME),
            Part(polygon([(-0.28, 0.1), (-0.64, 0.66), (-0.28, 0.52)]), _DARK),
            Part(polygon([(0.28, 0.1), (0.64, 0.66), (0.28, 0.52)]), _DARK),
            Part(oval(0.0, -0.2, 0.36, 0.8)),
            Part(disc(0.0, -0.34, 0.17), _WHITE),
            Part(disc(0.0, -0.34, 0.11), _GLASS),
        ],
        "cloud": lambda: [
            Part(disc(-0.5, 0.14, 0.4)),
            Part(disc(0.52, 0.16, 0.36)),
            Part(disc(-0.06, -0.16, 0.5)),
            Part(box(0.0, 0.3, 0.72, 0.24, 0.2)),
        ],
        "sun": lambda: [
            Part(_star(12, 1.0, 0.62)),
            Part(disc(0, 0, 0.6), 1.12),
            Part(disc(-0.2, -0.1, 0.07), _BLACK),
            Part(disc(0.2, -0.1, 0.07), _BLACK),
            Part(without(disc(0, 0.08, 0.28), disc(0, -0.02, 0.28)), _BLACK),
        ],
        "moon": lambda: [Part(without(disc(0, 0, 0.94), disc(0.46, -0.16, 0.78)))],
        "flower": lambda: [
            Part(stroke(0.0, 0.1, 0.0, 0.95, 0.06), (52, 128, 62)),
            Part(oval(0.26, 0.62, 0.26, 0.11), (66, 150, 72)),
            *_petals(),
            Part(disc(0.0, -0.35, 0.25), (250, 205, 70)),
        ],
        "cat": lambda: [
            Part(polygon([(-0.8, -0.92), (-0.16, -0.56), (-0.74, -0.1)])),
            Part(polygon([(0.8, -0.92), (0.16, -0.56), (0.74, -0.1)])),
            Part(polygon([(-0.66, -0.7), (-0.36, -0.5), (-0.62, -0.3)]), _SKIN),
            Part(polygon([(0.66, -0.7), (0.36, -0.5), (0.62, -0.3)]), _SKIN),
            Part(oval(0.0, 0.12, 0.86, 0.74)),
            Part(oval(-0.34, 0.0, 0.15, 0.19), _WHITE),
            Part(oval(0.34, 0.0, 0.15, 0.19), _WHITE),
            Part(oval(-0.3, 0.02, 0.07, 0.13), _BLACK),
            Part(oval(0.38, 0.02, 0.07, 0.13), _BLACK),
            Part(polygon([(-0.11, 0.3), (0.11, 0.3), (0.0, 0.44)]), (240, 130, 140)),
            Part(stroke(-0.2, 0.56, 0.2, 0.56, 0.035), _BLACK),
        ],
    }
    return drawings[kind]()


@lru_cache(maxsize=4)
def tables(device: torch.device) -> Tensor:
    """`(kinds, 5, 192, 192)`: signed distance to the silhouette, share of the own colour, and what is added to it."""
    line = torch.linspace(-REACH, REACH, SIDE)
    y, x = torch.meshgrid(line, line, indexing="ij")
    points = torch.stack([x, y], -1).flatten(0, 1)
    spacing = 2 * REACH / (SIDE - 1)
    drawn = []
    for kind in KINDS:
        parts = _drawing(kind)
        distances = [part.outline(points) for part in parts]
        # Paint runs a little over the silhouette, so that its edge has the colour of the part that it belongs to.
        nearest = torch.stack(distances).argmin(0)
        share, added = torch.ones_like(points[:, 0]), torch.zeros(len(points), 3)
        for index, (part, distance) in enumerate(zip(parts, distances, strict=True)):
            covered = (0.5 - distance / spacing).clamp(0, 1)
            outside = (torch.stack(distances).amin(0) > 0) & (nearest == index)
            covered = torch.where(outside, torch.ones_like(covered), covered)
            own, fixed = (part.paint, (0, 0, 0)) if isinstance(part.paint, float) else (0.0, part.paint)
            share = share * (1 - covered) + own * covered
            added = added * (1 - covered[:, None]) + points.new_tensor(fixed) / 255 * covered[:, None]
        silhouette = torch.stack(distances).amin(0)
        drawn.append(torch.cat([silhouette[None], share[None], added.T]).view(5, SIDE, SIDE))
    return torch.stack(drawn).to(device)
