"""The world of the embedded model: one or two subjects, how they move, and what is behind and around them.

A `Scene` is everything that is needed to draw a clip (`render.py`), to describe it (`captions.py`) and to say
whether a generated clip shows it (`judge.py`). Words and numbers only, no pixels; where things are at a time is the
business of `motion.py`. Lengths are in half-sides of the canvas: the shorter side spans -1 to 1, x to the right and
y downwards.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass

SHAPES = ("circle", "square", "triangle", "star", "heart", "ring")
THINGS = (
    "boat",
    "car",
    "bird",
    "fish",
    "balloon",
    "house",
    "tree",
    "rocket",
    "cloud",
    "sun",
    "moon",
    "flower",
    "cat",
)
KINDS = SHAPES + THINGS
GROUNDED = ("boat", "car", "house", "tree", "flower", "cat")
"""Things that stand on the ground of a landscape."""
FACING = ("boat", "car", "bird", "fish", "cat")
"""Things that look to the right, and are turned round where they move to the left."""

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
"""Those of the simple world."""
RICH_MOTIONS = (*MOTIONS, "zigzag", "appearing", "disappearing")
STEPS = ("left", "right", "up", "down", "spinning", "growing", "shrinking", "still")
"""Motions that may follow one another in one clip."""
PACES = ("slow", "fast")
RELATIONS = ("above", "below", "left of", "right of", "behind", "following")
"""Where the first of two subjects is, seen from the second."""

BACKDROPS = ("plain", "gradient", "stripes", "checkerboard", "stars")
SETTINGS = ("sea", "hills", "desert", "city", "space", "forest", "snow")
TIMES = ("day", "sunset", "night")
WEATHERS = ("rain", "snow", "leaves")
CAMERAS = ("pan left", "pan right", "zoom in", "zoom out", "shake")

# The weights of rarer things in a random scene: a plain backdrop and the four directions carry the simple world.
_MOTION_WEIGHTS = (14, 14, 14, 14, 9, 9, 9, 8, 9)
_BACKDROP_WEIGHTS = (80, 6, 5, 5, 4)
# A disc or a hoop that spins looks like a still one, so nobody could learn the word from it.
_ROUND = ("circle", "ring")
# What cannot be told from the setting.
_LOST: dict[str, tuple[str, ...]] = {
    "sea": ("blue",),
    "hills": ("green",),
    "desert": ("yellow", "orange"),
    "city": ("black",),
    "space": ("black",),
    "forest": ("green",),
    "snow": ("white",),
}


@dataclass(frozen=True)
class Subject:
    """One thing in a clip.

    Attributes:
        motions: what it does, one thing after the other, for equal parts of the clip.
        pace: "slow", "fast", or "" for neither.
        across, along: -1 to 1 and 0 to 1, where in the room that its motion leaves it is; chance.
        angle: in radians, how crooked it stands; chance.
    """

    kind: str
    colour: str
    size: str
    motions: tuple[str, ...] = ("still",)
    pace: str = ""
    across: float = 0.0
    along: float = 0.0
    angle: float = 0.0

    @property
    def motion(self) -> str:
        """The first thing it does."""
        return self.motions[0]

    @property
    def radius(self) -> float:
        """In half-sides, at its own size."""
        return SIZES[self.size]

    @property
    def mirrored(self) -> bool:
        """Whether it looks to the left."""
        sideways = [motion for motion in self.motions if motion in ("left", "right")]
        return self.kind in FACING and sideways[:1] == ["left"]


@dataclass(frozen=True)
class Scene:
    """One clip of the world: what there is, and the few numbers that chance decides.

    Attributes:
        subjects: one, or two.
        relation: of the first of two subjects to the second; "" where there is one.
        backdrop: of `BACKDROPS`, which have a `backdrop_colour`, or of `SETTINGS`, which have none.
        time: of day; settings alone have one.
        weather, camera: "" where nothing falls, and where it stands still.
        variation: seed of what nobody describes: where the stars are, the windows of a city.
    """

    subjects: tuple[Subject, ...]
    backdrop: str
    backdrop_colour: str = ""
    relation: str = ""
    time: str = ""
    weather: str = ""
    camera: str = ""
    variation: int = 0

    @property
    def subject(self) -> Subject:
        """The first subject, which the others stand by."""
        return self.subjects[0]

    @property
    def simple(self) -> bool:
        """Whether it belongs to the simple world: one shape with one motion on a plain backdrop."""
        subject = self.subject
        plain = self.backdrop == "plain" and not (self.weather or self.camera or subject.pace)
        alone = len(self.subjects) == 1 and len(subject.motions) == 1
        return plain and alone and subject.kind in SHAPES and subject.motion in MOTIONS

    @property
    def held_out(self) -> bool:
        """Whether training never sees this combination (about one in twelve)."""
        subject = self.subject
        words = (subject.kind, subject.colour, subject.motion, self.backdrop_colour or self.backdrop)
        return zlib.crc32("/".join(words).encode()) % 12 == 0


def simple_scene(rng: random.Random, *, held_out: bool = False, plain: bool = True) -> Scene:
    """A scene of the simple world: one shape, one of nine motions, a backdrop of another colour.

    Args:
        held_out: only combinations that training never sees, or only the others.
        plain: without the patterned backdrops.
    """
    while True:
        colour, backdrop_colour = rng.sample(tuple(COLOURS), 2)
        motion = rng.choices(MOTIONS, _MOTION_WEIGHTS)[0]
        subject = _subject(rng, SHAPES, colour, (motion,))
        backdrop = "plain" if plain else rng.choices(BACKDROPS, _BACKDROP_WEIGHTS)[0]
        scene = Scene((subject,), backdrop, backdrop_colour, variation=rng.randrange(1 << 16))
        if scene.held_out == held_out:
            return scene


def rich_scene(rng: random.Random, *, held_out: bool = False) -> Scene:
    """A scene of the whole world.

    Args:
        held_out: only combinations that training never sees, or only the others.
    """
    while True:
        setting = rng.random() < 0.7
        backdrop = rng.choice(SETTINGS) if setting else rng.choices(BACKDROPS, (60, 12, 10, 10, 8))[0]
        time = rng.choices(TIMES, (5, 2, 3))[0] if setting and backdrop != "space" else ""
        weather = _weather(rng, backdrop, time)
        kinds = THINGS if setting or rng.random() < 0.7 else SHAPES
        names = [name for name in COLOURS if name not in _lost(backdrop, time)]
        if setting:
            colour, second, behind = *rng.sample(names, 2), ""
        else:
            colour, second, behind = rng.sample(names, 3)
        subjects, relation = _subjects(rng, kinds, (colour, second))
        still = all(motion not in ("growing", "shrinking") for each in subjects for motion in each.motions)
        cameras = CAMERAS if setting and still else ()
        camera = rng.choice(cameras) if cameras and not relation and rng.random() < 0.25 else ""
        scene = Scene(subjects, backdrop, behind, relation, time, weather, camera, rng.randrange(1 << 16))
        if scene.held_out == held_out:
            return scene


def random_scene(rng: random.Random, *, held_out: bool = False, rich: float = 0.5, plain: float = 0.8) -> Scene:
    """A scene of the whole world, or of the simple one.

    Args:
        held_out: only combinations that training never sees, or only the others.
        rich: the share of the whole world.
        plain: the share of plain backdrops in the simple one.
    """
    if rng.random() < rich:
        return rich_scene(rng, held_out=held_out)
    return simple_scene(rng, held_out=held_out, plain=rng.random() < plain)


def _lost(backdrop: str, time: str) -> tuple[str, ...]:
    return (*_LOST.get(backdrop, ()), *(("black",) if time == "night" else ()))


def _weather(rng: random.Random, backdrop: str, time: str) -> str:
    """Weather over a landscape; none over patterns, none where there is no air."""
    if not time or rng.random() < 0.7:
        return ""
    return "snow" if backdrop == "snow" else rng.choice(WEATHERS)


def _subject(
    rng: random.Random, kinds: tuple[str, ...], colour: str, motions: tuple[str, ...], pace: str = ""
) -> Subject:
    fitting = [kind for kind in kinds if kind not in _ROUND] if "spinning" in motions else kinds
    return Subject(
        kind=rng.choice(fitting),
        colour=colour,
        size=rng.choice(tuple(SIZES)),
        motions=motions,
        pace=pace,
        across=rng.uniform(-1, 1),
        along=rng.random(),
        angle=rng.uniform(-0.15, 0.15),
    )


def _subjects(rng: random.Random, kinds: tuple[str, ...], colours: tuple[str, str]) -> tuple[tuple[Subject, ...], str]:
    """One subject, or two and how they stand to each other."""
    if rng.random() < 0.2:
        relation = rng.choice(RELATIONS)
        sideways = relation in ("following", "behind")
        motion = rng.choice(("left", "right")) if relation == "following" else rng.choice(("still", "left", "right"))
        if relation in ("left of", "right of") or (sideways and relation == "behind"):
            motion = "still"
        size, place = "small", rng.uniform(-1, 1)
        pair = [_subject(rng, kinds, colour, (motion,)) for colour in colours]
        first, second = (Subject(each.kind, each.colour, size, (motion,), "", place, each.along) for each in pair)
        if first.kind != second.kind:
            return (first, second), relation
    if rng.random() < 0.15:
        motions = tuple(rng.sample(STEPS, 2))
        return (_subject(rng, kinds, colours[0], motions),), ""
    motion = rng.choice(RICH_MOTIONS)
    directed = motion in ("left", "right", "up", "down")
    pace = rng.choice(PACES) if directed and rng.random() < 0.25 else ""
    return (_subject(rng, kinds, colours[0], (motion,), pace),), ""
