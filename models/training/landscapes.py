"""What is behind the subjects: plain and patterned backdrops, and landscapes by day, at sunset and at night.

Every backdrop is one still picture, drawn from the coordinates of its pixels in half-sides, so the renderer may look
at any part of it. Knows no subjects.
"""

from __future__ import annotations

import math
import random

import torch
from torch import Tensor

from .world import BACKDROPS, COLOURS, Scene

Colour = tuple[int, int, int]

# Sky above and at the horizon, and what the light does to everything below.
_LIGHT: dict[str, tuple[Colour, Colour, tuple[float, float, float]]] = {
    "day": ((96, 172, 236), (206, 232, 248), (1.0, 1.0, 1.0)),
    "sunset": ((92, 72, 140), (250, 160, 104), (0.92, 0.70, 0.66)),
    "night": ((14, 18, 46), (48, 58, 104), (0.34, 0.40, 0.58)),
}


def backdrop(scene: Scene, y: Tensor, x: Tensor, pixel: float) -> Tensor:
    """A backdrop `(3, H, W)` in [0, 1].

    Args:
        y, x: `(H, 1)` and `(1, W)` where its pixels are, in half-sides.
        pixel: the size of a pixel there, over which edges are softened.
    """
    if scene.backdrop in BACKDROPS:
        return _pattern(scene, y, x, pixel)
    chance = random.Random(scene.variation)
    if scene.backdrop == "space":
        return _space(chance, y, x, pixel)
    canvas = _Canvas(y, x, pixel, scene.time or "day", chance)
    {
        "sea": _sea,
        "hills": _hills,
        "desert": _desert,
        "city": _city,
        "forest": _forest,
        "snow": _snow_field,
    }[scene.backdrop](canvas, chance)
    return canvas.picture


def _square_wave(position: Tensor, softness: float) -> Tensor:
    """0 where the whole part of `position` is even, 1 where it is odd, antialiased over `softness` units."""
    to_edge = 0.5 - (position % 1 - 0.5).abs()
    side = torch.where(position % 2 >= 1, 1.0, -1.0)
    return 0.5 + side * (to_edge / softness).clamp(max=0.5)


def _pattern(scene: Scene, y: Tensor, x: Tensor, pixel: float) -> Tensor:
    """The colour, or a pattern of it and a second tone of it."""
    first = y.new_tensor(COLOURS[scene.backdrop_colour]) / 255
    dark = scene.backdrop_colour == "black"
    second = first + (1 - first) * 0.30 if dark else first * 0.68
    share = torch.zeros_like(y + x)
    if scene.backdrop == "gradient":
        share = share + ((y + 1) / 2).clamp(0, 1)
    elif scene.backdrop == "stripes":
        share = share + _square_wave(2.0 * x, pixel * 2)
    elif scene.backdrop == "checkerboard":
        a, b = _square_wave(2.0 * x, pixel * 2), _square_wave(2.0 * y, pixel * 2)
        share = a + b - 2 * a * b
    elif scene.backdrop == "stars":
        share, second = _spots(random.Random(scene.variation), y, x, pixel, 40), torch.full_like(first, 0.96)
        first = first * (1.0 if dark else 0.45)
    return first[:, None, None] * (1 - share) + second[:, None, None] * share


def _spots(chance: random.Random, y: Tensor, x: Tensor, pixel: float, count: int, lowest: float = 1.0) -> Tensor:
    """Small discs over the picture `(H, W)`, none below `lowest`."""
    share = torch.zeros_like(y + x)
    for _ in range(count):
        at_x, at_y = chance.uniform(-1.8, 1.8), chance.uniform(-1.2, lowest)
        radius = chance.uniform(0.018, 0.045)
        distance = ((y - at_y) ** 2 + (x - at_x) ** 2).sqrt() - radius
        share = torch.maximum(share, (0.5 - distance / pixel).clamp(0, 1))
    return share


class _Canvas:
    """A sky, and what is painted over it from far to near."""

    def __init__(self, y: Tensor, x: Tensor, pixel: float, time: str, chance: random.Random) -> None:
        above, horizon, self.light = _LIGHT[time]
        self.y, self.x, self.pixel, self.time = y, x, pixel, time
        share = ((y + 1.1) / 1.5).clamp(0, 1)
        top, low = (y.new_tensor(colour)[:, None, None] / 255 for colour in (above, horizon))
        self.picture = (top + (low - top) * share) * torch.ones_like(x)
        if time == "night":
            self.put(0.85 * _spots(chance, y, x, pixel, 30, 0.1), (240, 240, 250), lit=True)

    def put(self, share: Tensor, colour: Colour, *, lit: bool = False) -> None:
        """Paint a colour, in this light unless it shines itself, where `share` `(H, W)` is 1."""
        paint = self.y.new_tensor(colour) / 255
        paint = paint if lit else paint * self.y.new_tensor(self.light)
        self.picture = self.picture * (1 - share) + paint[:, None, None] * share

    def below(self, height: Tensor | float) -> Tensor:
        """The share of each pixel that lies below a line of heights, `(1, W)` or one for all."""
        return (0.5 + (self.y - height) / self.pixel).clamp(0, 1) * torch.ones_like(self.x)

    def inside(self, x0: float, x1: float, y0: float, y1: float) -> Tensor:
        """The share of each pixel that lies in a rectangle."""
        across = torch.minimum(self.x - x0, x1 - self.x)
        down = torch.minimum(self.y - y0, y1 - self.y)
        return (0.5 + torch.minimum(across, down) / self.pixel).clamp(0, 1)

    def cone(self, x: float, top: float, bottom: float, half: float) -> Tensor:
        """The share of each pixel that lies in a triangle that stands."""
        share = (self.y - top) / (bottom - top)
        edge = (half * share - (self.x - x).abs()) * 0.9
        return (0.5 + torch.minimum(edge, bottom - self.y) / self.pixel).clamp(0, 1) * (share > 0)

    def disc(self, x: float, y: float, radius: float) -> Tensor:
        """The share of each pixel that lies in a circle."""
        return (0.5 - (((self.x - x) ** 2 + (self.y - y) ** 2).sqrt() - radius) / self.pixel).clamp(0, 1)

    def line(self, chance: random.Random, middle: float, swing: float, length: float) -> Tensor:
        """A soft line of heights `(1, W)`."""
        a, b = chance.uniform(0, 6.3), chance.uniform(0, 6.3)
        step = 2 * math.pi / length
        return middle + swing * ((self.x * step + a).sin() + 0.4 * (self.x * step * 2.3 + b).sin()) / 1.4


def _sea(canvas: _Canvas, chance: random.Random) -> None:
    level = chance.uniform(0.0, 0.15)
    canvas.put(canvas.below(level), (36, 112, 186))
    for row in range(5):
        middle = level + 0.16 + 0.2 * row
        top = canvas.line(chance, middle, 0.022 + 0.004 * row, 0.45 + 0.06 * row)
        canvas.put(canvas.below(top) * (1 - canvas.below(top + 0.028 + 0.006 * row)), (150, 204, 236))


def _hills(canvas: _Canvas, chance: random.Random) -> None:
    for middle, colour in ((0.05, (142, 190, 128)), (0.3, (104, 170, 92)), (0.58, (72, 146, 70))):
        canvas.put(canvas.below(canvas.line(chance, middle, 0.14, chance.uniform(1.3, 2.2))), colour)


def _desert(canvas: _Canvas, chance: random.Random) -> None:
    for middle, colour in ((0.12, (240, 208, 140)), (0.38, (230, 188, 112)), (0.64, (216, 168, 92))):
        canvas.put(canvas.below(canvas.line(chance, middle, 0.1, chance.uniform(1.8, 2.8))), colour)
    for _ in range(2):
        x, foot = chance.uniform(-1.5, 1.5), chance.uniform(0.3, 0.5)
        green = (62, 130, 78)
        canvas.put(canvas.inside(x - 0.05, x + 0.05, foot - 0.5, foot), green)
        canvas.put(canvas.inside(x - 0.2, x, foot - 0.26, foot - 0.19), green)
        canvas.put(canvas.inside(x - 0.2, x - 0.13, foot - 0.42, foot - 0.19), green)
        canvas.put(canvas.inside(x, x + 0.2, foot - 0.2, foot - 0.13), green)
        canvas.put(canvas.inside(x + 0.13, x + 0.2, foot - 0.36, foot - 0.13), green)


def _city(canvas: _Canvas, chance: random.Random) -> None:
    left, night = -2.4, canvas.time == "night"
    while left < 2.4:
        wide, top = chance.uniform(0.26, 0.46), chance.uniform(-0.5, 0.1)
        canvas.put(
            canvas.inside(left, left + wide, top, 0.62),
            chance.choice(((122, 130, 152), (148, 140, 146), (104, 116, 140))),
        )
        rows = int((0.5 - top) / 0.2)
        for row in range(rows):
            for column in range(2):
                x, y = left + wide * (0.2 + 0.36 * column), top + 0.08 + 0.2 * row
                lit = night and chance.random() < 0.75
                glass = (252, 222, 130) if lit else (186, 206, 222)
                canvas.put(canvas.inside(x, x + wide * 0.24, y, y + 0.1), glass, lit=lit)
        left += wide + chance.uniform(0.0, 0.04)
    canvas.put(canvas.below(0.6), (96, 98, 106))
    canvas.put(canvas.below(0.78) * (1 - canvas.below(0.82)), (226, 222, 206))


def _forest(canvas: _Canvas, chance: random.Random) -> None:
    canvas.put(canvas.below(0.25), (92, 140, 84))
    for foot, high, colour in ((0.36, 0.95, (62, 122, 84)), (0.56, 1.05, (40, 100, 66))):
        x = -2.4 + chance.uniform(0, 0.2)
        while x < 2.4:
            tall = high * chance.uniform(0.75, 1.05)
            canvas.put(canvas.inside(x - 0.04, x + 0.04, foot - 0.1, foot + 0.08), (110, 78, 54))
            canvas.put(canvas.cone(x, foot - tall, foot, 0.24), colour)
            x += chance.uniform(0.34, 0.5)
    canvas.put(canvas.below(canvas.line(chance, 0.62, 0.03, 2.0)), (104, 156, 84))


def _snow_field(canvas: _Canvas, chance: random.Random) -> None:
    canvas.put(canvas.below(canvas.line(chance, 0.12, 0.12, 2.0)), (214, 226, 240))
    for _ in range(3):
        x, foot = chance.uniform(-1.6, 1.6), chance.uniform(0.25, 0.4)
        canvas.put(canvas.cone(x, foot - 0.55, foot, 0.18), (74, 118, 108))
        canvas.put(canvas.cone(x, foot - 0.55, foot - 0.34, 0.075), (244, 248, 252))
    canvas.put(canvas.below(canvas.line(chance, 0.42, 0.06, 2.6)), (236, 242, 250))


def _space(chance: random.Random, y: Tensor, x: Tensor, pixel: float) -> Tensor:
    canvas = _Canvas(y, x, pixel, "day", chance)
    canvas.picture = torch.ones_like(canvas.picture) * y.new_tensor((16, 14, 36))[:, None, None] / 255
    canvas.put(_spots(chance, y, x, pixel, 46), (236, 238, 250), lit=True)
    at_x, at_y = chance.choice((-1, 1)) * chance.uniform(0.7, 1.3), chance.uniform(-0.7, -0.4)
    canvas.put(canvas.disc(at_x, at_y, 0.24), (196, 130, 96), lit=True)
    canvas.put(canvas.disc(at_x - 0.07, at_y - 0.05, 0.06), (168, 104, 78), lit=True)
    canvas.put(canvas.disc(at_x + 0.08, at_y + 0.08, 0.045), (168, 104, 78), lit=True)
    return canvas.picture
