"""The world of the embedded model: one object, its motion, a backdrop. Words and numbers only, no pixels.

A `Scene` is everything that is needed to draw a clip (`render.py`), to describe it (`captions.py`) and to say
whether a generated clip shows it (`judge.py`). Lengths are in half-sides of the canvas: the shorter side
spans -1 to 1, x to the right and y downwards. Time `u` runs from 0 to 1 over the clip, whatever its length.
"""

from __future__ import annotations

import math
import random
import zlib
from dataclasses import dataclass

SHAPES = ("circle", "square", "triangle", "star", "heart", "ring")
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (222, 45, 48),
    "orange": (245, 140, 30),
    "yellow": (250, 218, 60),
    "green": (50, 165, 80),
    "blue": (45, 100, 220),
    "purple": (140, 65, 185),
    "white": (248, 248, 246),
    "black": (24, 24, 28),
}
SIZES = {"small": 0.33, "large": 0.47}
MOTIONS = ("left", "right", "up", "down", "growing", "shrinking", "bouncing", "spinning", "still")
BACKDROPS = ("plain", "gradient", "stripes", "checkerboard", "stars")

# The weights of rarer things in a random scene: a plain backdrop and the four directions carry the world.
_MOTION_WEIGHTS = (14, 14, 14, 14, 9, 9, 9, 8, 9)
_BACKDROP_WEIGHTS = (80, 6, 5, 5, 4)
_MARGIN = 0.06


@dataclass(frozen=True)
class Scene:
    """One clip of the world: what there is, and the few numbers that chance decides."""

    shape: str
    colour: str
    size: str
    motion: str
    backdrop: str
    backdrop_colour: str
    across: float = 0.0
    along: float = 0.0
    angle: float = 0.0
    variation: int = 0

    def radius(self, u: float) -> float:
        """Radius of the object at time `u`, in half-sides."""
        base = SIZES[self.size]
        if self.motion == "growing":
            return base * (0.5 + 0.7 * u)
        if self.motion == "shrinking":
            return base * (1.2 - 0.7 * u)
        return base

    def position(self, u: float) -> tuple[float, float]:
        """Centre `(x, y)` of the object at time `u`; the object stays inside the canvas."""
        reach = 1.0 - SIZES[self.size] - _MARGIN
        start = -reach + 0.15 * self.along
        travel = start + u * (reach - 0.15 * (1 - self.along) - start)
        aside = 0.35 * self.across * reach
        if self.motion in ("right", "left"):
            return (travel if self.motion == "right" else -travel), aside
        if self.motion in ("down", "up"):
            return aside, (travel if self.motion == "down" else -travel)
        if self.motion == "bouncing":
            return aside, reach - 2 * reach * abs(math.sin(2 * math.pi * u + math.pi * self.along))
        return aside, 0.35 * (2 * self.along - 1) * reach

    def rotation(self, u: float) -> float:
        """Angle of the object at time `u`, in radians, clockwise."""
        return self.angle + (2 * math.pi * u if self.motion == "spinning" else 0.0)

    @property
    def held_out(self) -> bool:
        """Whether training never sees this combination (about one in twelve)."""
        words = (self.shape, self.colour, self.motion, self.backdrop_colour)
        return zlib.crc32("/".join(words).encode()) % 12 == 0


def random_scene(rng: random.Random, *, held_out: bool = False, plain: bool = False) -> Scene:
    """A scene drawn from the world.

    Args:
        held_out: only combinations that training never sees, or only the others.
        plain: only plain backdrops.
    """
    names = tuple(COLOURS)
    while True:
        colour, backdrop_colour = rng.sample(names, 2)
        motion = rng.choices(MOTIONS, _MOTION_WEIGHTS)[0]
        # A spinning disc looks like a still one, so nobody could learn the word from it.
        shape = rng.choice(SHAPES[1:5] if motion == "spinning" else SHAPES)
        scene = Scene(
            shape=shape,
            colour=colour,
            size=rng.choice(tuple(SIZES)),
            motion=motion,
            backdrop="plain" if plain else rng.choices(BACKDROPS, _BACKDROP_WEIGHTS)[0],
            backdrop_colour=backdrop_colour,
            across=rng.uniform(-1, 1),
            along=rng.random(),
            angle=rng.uniform(-0.15, 0.15),
            variation=rng.randrange(1 << 16),
        )
        if scene.held_out == held_out:
            return scene
