"""What the cascade is asked in an evaluation, and whether a clip is the right answer. Knows no networks."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from .captions import describe
from .report import Rate
from .witness import score
from .world import COLOURS, SHAPES, SIZES, Scene, rich_scene, simple_scene

WORLDS = ("simple", "rich")
TOGETHER = ("kind", "colour", "motion", "backdrop_colour")
"""What has to be right together in the simple world; in the rich one it is all that the prompt names."""

ONE_WORD = ("colour", "backdrop_colour", "kind", "size", "motion")
"""Attributes of the simple world that a prompt tells in a word, for `twins`."""

_DIRECTIONS = ("left", "right", "up", "down")
_OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up", "growing": "shrinking"}
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Question:
    """A scene, its caption, what the caption names of it, and a seed."""

    scene: Scene
    prompt: str
    named: frozenset[str]
    seed: int


def questions(count: int, world: str = "simple", *, seed: str = "evaluation") -> list[Question]:
    """`count` held-out scenes of a world in held-out phrasings, the same for the same seed."""
    rng = random.Random(f"{seed}/{world}")
    draw = {"simple": simple_scene, "rich": rich_scene}[world]
    return [_question(draw(rng, held_out=True), rng, index) for index in range(count)]


def both_worlds(count: int, *, seed: str = "evaluation") -> list[Question]:
    """`count` questions, the first half of them of the simple world."""
    return [*questions(count - count // 2, seed=seed), *questions(count // 2, "rich", seed=seed)]


def twins(count: int, attribute: str, *, seed: str = "twins") -> list[tuple[Question, Question]]:
    """Pairs of questions of the simple world, of one seed, whose prompts differ in one word: another `attribute`."""
    rng = random.Random(f"{seed}/{attribute}")
    found: list[tuple[Question, Question]] = []
    for _ in range(400 * count):
        if len(found) == count:
            break
        scene = simple_scene(rng, held_out=True)
        other = _another(scene, attribute, rng)
        phrasing = rng.random()
        if other is None:
            continue
        pair = [_question(each, random.Random(phrasing), len(found)) for each in (scene, other)]
        if attribute in pair[0].named and _one_word_apart(pair[0].prompt, pair[1].prompt):
            found.append((pair[0], pair[1]))
    return found


def elsewhere(scene: Scene, rng: random.Random) -> Scene:
    """A scene of the same words, where chance has decided otherwise."""
    moved = [
        replace(each, across=rng.uniform(-1, 1), along=rng.random(), angle=rng.uniform(-0.15, 0.15))
        for each in scene.subjects
    ]
    return replace(scene, subjects=tuple(moved), variation=rng.randrange(1 << 16))


def verdict(clip: Tensor, question: Question) -> dict[str, bool]:
    """By attribute, whether a clip `(3, T, H, W)` shows what the prompt names."""
    judged = score(clip, question.scene, question.named)
    return {name: right for name, right in judged.items() if name in question.named}


def together(row: dict[str, bool], question: Question) -> bool:
    """Whether a verdict is right in all that counts."""
    counts = TOGETHER if question.scene.simple else tuple(row)
    return all(row[name] for name in counts if name in row)


def tally(rows: Sequence[dict[str, bool]], asked: Sequence[Question]) -> dict[str, Rate]:
    """Rates by attribute over verdicts; "direction" is the motion where the prompt of a simple scene has one."""
    rates = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        rates[name] = _rate([row[name] for row in rows if name in row])
    pairs = list(zip(rows, asked, strict=True))
    directed = [row["motion"] for row, each in pairs if "motion" in row and _directed(each.scene)]
    if directed:
        rates["direction"] = _rate(directed)
    if rows:
        rates["together"] = _rate([together(row, each) for row, each in pairs])
    return rates


def rates(made: Sequence[Tensor], asked: Sequence[Question]) -> dict[str, float]:
    """The shares of `tally` for clips `(3, T, H, W)`: figures for a curve of training."""
    rows = [verdict(clip, each) for clip, each in zip(made, asked, strict=True)]
    return {name: rate.share for name, rate in tally(rows, asked).items()}


def _question(scene: Scene, rng: random.Random, seed: int) -> Question:
    told = describe(scene, rng, held_out=True)
    return Question(scene, told.text, told.named, seed)


def _rate(right: Sequence[bool]) -> Rate:
    return Rate(sum(right) / len(right), len(right))


def _directed(scene: Scene) -> bool:
    return scene.simple and scene.subject.motion in _DIRECTIONS


def _another(scene: Scene, attribute: str, rng: random.Random) -> Scene | None:
    """The scene with another value of one attribute; None where it has no other."""
    subject = scene.subject
    if attribute in ("colour", "backdrop_colour"):
        colour = rng.choice([name for name in COLOURS if name not in (subject.colour, scene.backdrop_colour)])
        if attribute == "backdrop_colour":
            return replace(scene, backdrop_colour=colour)
        changed = replace(subject, colour=colour)
    elif attribute == "kind":
        fitting = SHAPES[1:-1] if subject.motion == "spinning" else SHAPES  # a disc or a hoop that spins seems still
        changed = replace(subject, kind=rng.choice([kind for kind in fitting if kind != subject.kind]))
    elif attribute == "size":
        changed = replace(subject, size=next(size for size in SIZES if size != subject.size))
    elif subject.motion in _OPPOSITE:
        changed = replace(subject, motions=(_OPPOSITE[subject.motion],))
    else:
        return None
    return replace(scene, subjects=(changed,))


def _one_word_apart(first: str, second: str) -> bool:
    """Whether two texts differ in one word, "a" and "an" being the same."""
    ours, theirs = ([word for word in _words(text) if word not in ("a", "an")] for text in (first, second))
    return len(ours) == len(theirs) and sum(a != b for a, b in zip(ours, theirs, strict=True)) == 1


def _words(text: str) -> Iterator[str]:
    return (found.group() for found in _WORD.finditer(text.lower()))
