"""Scenes become pixels: antialiased, any size and length, in one batched pass on any device.

Every outline is kept as a table of signed distances, sampled at the turned and scaled position of each pixel;
the distance decides how much of the pixel the object covers. Knows no captions and no networks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from .world import COLOURS, SHAPES, Scene

_TABLE_SIDE, _TABLE_REACH = 192, 1.6


def _corners(shape: str) -> list[tuple[float, float]]:
    """The outline of a shape as a polygon inside the unit circle, y downwards."""
    if shape == "square":
        return [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)]
    if shape == "triangle":
        return [(0.0, -0.95), (0.92, 0.72), (-0.92, 0.72)]
    if shape == "star":
        radii = (1.0, 0.45)
        turns = [math.pi * k / 5 - math.pi / 2 for k in range(10)]
        return [(radii[k % 2] * math.cos(a), radii[k % 2] * math.sin(a)) for k, a in enumerate(turns)]
    if shape == "heart":
        turns = [2 * math.pi * k / 48 for k in range(48)]
        return [
            (
                16 * math.sin(a) ** 3 / 17,
                -(13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)) / 17 - 0.12,
            )
            for a in turns
        ]
    raise ValueError(f"no outline for {shape!r}")


def _polygon_distance(points: Tensor, corners: list[tuple[float, float]]) -> Tensor:
    """Signed distance `(N,)` of points `(N, 2)` to a closed polygon, negative inside."""
    a = points.new_tensor(corners)
    edge = a.roll(-1, 0) - a
    offset = points[:, None] - a
    t = ((offset * edge).sum(-1) / edge.square().sum(-1)).clamp(0, 1)
    distance = (offset - t[..., None] * edge).norm(dim=-1).amin(1)
    below, above = a[:, 1] <= points[:, 1:], a.roll(-1, 0)[:, 1] > points[:, 1:]
    side = edge[:, 0] * offset[..., 1] - edge[:, 1] * offset[..., 0]
    winding = (below & above & (side > 0)).sum(1) - (~below & ~above & (side < 0)).sum(1)
    return torch.where(winding != 0, -distance, distance)


@lru_cache(maxsize=4)
def _distance_tables(device: torch.device) -> Tensor:
    """Signed distances `(shapes, 1, side, side)` over the square of half-side 1.6."""
    line = torch.linspace(-_TABLE_REACH, _TABLE_REACH, _TABLE_SIDE)
    y, x = torch.meshgrid(line, line, indexing="ij")
    points = torch.stack([x, y], -1).flatten(0, 1)
    radius = points.norm(dim=-1)
    tables = []
    for shape in SHAPES:
        if shape == "circle":
            distance = radius - 0.92
        elif shape == "ring":
            distance = (radius - 0.72).abs() - 0.24
        else:
            distance = _polygon_distance(points, _corners(shape))
        tables.append(distance.view(1, _TABLE_SIDE, _TABLE_SIDE))
    return torch.stack(tables).to(device)


def _pixel_grid(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Pixel centres `(H, 1)` and `(1, W)` in half-sides of the shorter side."""
    unit = min(height, width) / 2
    y = (torch.arange(height, device=device) + 0.5 - height / 2) / unit
    x = (torch.arange(width, device=device) + 0.5 - width / 2) / unit
    return y[:, None], x[None, :]


def _backdrop(scene: Scene, y: Tensor, x: Tensor) -> Tensor:
    """One still backdrop `(3, H, W)` in [0, 1]: the colour, or a pattern of it and a second tone of it."""
    first = y.new_tensor(COLOURS[scene.backdrop_colour]) / 255
    dark = scene.backdrop_colour == "black"
    second = first + (1 - first) * 0.30 if dark else first * 0.68
    pixel = 2.0 / min(y.shape[0], x.shape[1])
    if scene.backdrop == "gradient":
        share = ((y + 1) / 2).clamp(0, 1).expand(-1, x.shape[1])
    elif scene.backdrop == "stripes":
        wave = (2.0 * x).expand(y.shape[0], -1)
        share = _square_wave(wave, pixel * 2)
    elif scene.backdrop == "checkerboard":
        a, b = _square_wave(2.0 * x, pixel * 2), _square_wave(2.0 * y, pixel * 2)
        share = a + b - 2 * a * b
    elif scene.backdrop == "stars":
        generator = torch.Generator().manual_seed(scene.variation)
        spots = torch.rand((26, 3), generator=generator).to(y)
        near = [
            (0.5 - (((y - (2 * v - 1)) ** 2 + (x - (2 * h - 1)) ** 2).sqrt() - 0.035 - 0.03 * r) / pixel).clamp(0, 1)
            for v, h, r in spots.tolist()
        ]
        share, second = torch.stack(near).amax(0), torch.full_like(first, 0.96)
        first = first * (1.0 if dark else 0.45)
    else:
        share = torch.zeros_like(y + x)
    return first[:, None, None] * (1 - share) + second[:, None, None] * share


def _square_wave(position: Tensor, softness: float) -> Tensor:
    """0 where the whole part of `position` is even, 1 where it is odd, antialiased over `softness` units."""
    to_edge = 0.5 - (position % 1 - 0.5).abs()
    side = torch.where(position % 2 >= 1, 1.0, -1.0)
    return 0.5 + side * (to_edge / softness).clamp(max=0.5)


def render(
    scenes: Sequence[Scene],
    frames: int,
    height: int,
    width: int,
    *,
    device: torch.device | str = "cpu",
) -> tuple[Tensor, Tensor]:
    """Draw a batch of scenes.

    Args:
        scenes: B scenes.
        frames: T frames; the first shows time 0 and the last time 1.
        height, width: in pixels.

    Returns:
        the clips `(B, 3, T, H, W)` float32 in [-1, 1], and the object's coverage `(B, 1, T, H, W)` in [0, 1].
    """
    device = torch.device(device)
    y, x = _pixel_grid(height, width, device)
    times = [i / max(frames - 1, 1) for i in range(frames)]
    track = torch.tensor([[(*s.position(u), s.radius(u), s.rotation(u)) for u in times] for s in scenes], device=device)
    px, py, radius, turn = (track[..., k, None, None] for k in range(4))
    dx, dy = (x - px) / radius, (y - py) / radius
    cos, sin = turn.cos(), turn.sin()
    grid = torch.stack([cos * dx + sin * dy, cos * dy - sin * dx], -1) / _TABLE_REACH
    tables = _distance_tables(device)[[SHAPES.index(s.shape) for s in scenes]]
    distance = F.grid_sample(
        tables,
        grid.reshape(len(scenes), frames * height, width, 2),
        mode="bilinear",
        padding_mode="border",
        align_corners=True,
    ).view(len(scenes), 1, frames, height, width)
    half_pixels = radius[:, None] * min(height, width) / 2
    coverage = (0.5 - distance * half_pixels).clamp(0, 1)
    backdrops = torch.stack([_backdrop(s, y, x) for s in scenes])[:, :, None]
    colours = torch.tensor([COLOURS[s.colour] for s in scenes], device=device)[:, :, None, None, None] / 255
    clips = backdrops * (1 - coverage) + colours * coverage
    return clips * 2 - 1, coverage
