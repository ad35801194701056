"""A scene in words: many phrasings of plain English, some of them kept back for evaluation only.

Chooses the sentences of `templates.py` for a scene and what is said besides. Knows no pixels and no token ids;
`words()` is everything that a caption can contain, which is what the tokenizer is built from.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from . import phrases, setting_phrases, templates
from .phrases import FILLERS, MOTION_WORDS, VERBS
from .setting_phrases import (
    BACKDROP_WORDS,
    CAMERA_WORDS,
    STILL_CAMERA,
    TIME_ADJECTIVES,
    TIME_WORDS,
    WEATHER_ADJECTIVES,
    WEATHER_WORDS,
    Remarks,
)
from .wording import Slots, common, plain_form, reserved, with_article
from .world import BACKDROPS, COLOURS, MOTIONS, SHAPES, Scene

NAMES = (
    "kind",
    "colour",
    "size",
    "motion",
    "pace",
    "backdrop",
    "backdrop_colour",
    "relation",
    "second kind",
    "second colour",
    "time",
    "weather",
    "camera",
)
"""What a caption can tell of a scene; "motion" is everything that the first subject does."""
LONGEST = 60
"""Words and marks of a caption at most."""

_WORD = re.compile(r"\w+|[^\w\s]")
_FIELD = re.compile(r"{\w+}")


@dataclass(frozen=True)
class Caption:
    """A description, and which of `NAMES` it tells."""

    text: str
    named: frozenset[str]


def split(text: str) -> list[str]:
    """The words and marks of a text, lower case."""
    return _WORD.findall(text.lower())


def basic(scene: Scene) -> bool:
    """Whether a scene is described in the grammar of the simple world: one shape, one motion, a backdrop."""
    subject = scene.subject
    alone = len(scene.subjects) == 1 and len(subject.motions) == 1
    bare = not (scene.weather or scene.camera or subject.pace) and scene.backdrop in BACKDROPS
    return alone and bare and subject.kind in SHAPES and subject.motion in MOTIONS


def _plainest(scene: Scene, rng: random.Random) -> Caption:
    """The sentence that everybody would type first."""
    subject, colour = scene.subject, scene.backdrop_colour
    sized = rng.random() < 0.5
    size = f"{subject.size} " if sized else ""
    verbs, rest = MOTION_WORDS[subject.motion][0]
    dark = "gray" if colour in ("black", "white") else f"dark {colour}"
    backdrop = BACKDROP_WORDS[scene.backdrop][0].format(c=colour, d=dark)
    noun = with_article("a", f"{size}{subject.colour} {subject.kind}")
    text = f"{noun} {verbs[0]} {rest[0]}".rstrip() + f" on {with_article('a', backdrop)}"
    named = {"kind", "colour", "motion", "backdrop", "backdrop_colour", *(("size",) if sized else ())}
    return Caption(text, frozenset(named))


def _one(scene: Scene, rng: random.Random) -> str:
    """A training template about one subject; now and then one that leaves something to chance."""
    still = scene.subject.motions == ("still",)
    without_motion = rng.random() < (0.2 if still else 0.04 if basic(scene) else 0.08)
    without_backdrop = rng.random() < 0.05
    if without_motion:
        return common(rng, templates.OBJECT_ALONE if without_backdrop else templates.WITHOUT_MOTION)
    return common(rng, templates.WITHOUT_BACKDROP if without_backdrop else templates.TEMPLATES)


def _two(scene: Scene, rng: random.Random) -> str:
    """A training template about two subjects."""
    without_motion = rng.random() < (0.55 if scene.subject.motion == "still" else 0.06)
    without_backdrop = rng.random() < 0.05
    if rng.random() < 0.03:
        return common(rng, templates.PAIRS_WITHOUT_RELATION)
    if scene.relation == "following":
        if without_motion:
            return common(rng, templates.FOLLOWING_WITHOUT_MOTION)
        return common(rng, templates.FOLLOWING_WITHOUT_BACKDROP if without_backdrop else templates.FOLLOWING_TEMPLATES)
    if without_backdrop:
        return common(rng, templates.PAIRS_ALONE)
    return common(rng, templates.PAIRS_WITHOUT_MOTION if without_motion else templates.PAIR_TEMPLATES)


def _template(scene: Scene, rng: random.Random, held_out: bool) -> str:
    """A sentence for a scene of either world."""
    subject = scene.subject
    two, sequence = len(scene.subjects) == 2, len(subject.motions) == 2
    if held_out:
        if two:
            follows = scene.relation == "following"
            return rng.choice(templates.HELD_OUT_FOLLOWING if follows else templates.HELD_OUT_PAIRS)
        return rng.choice(templates.HELD_OUT_SEQUENCES if sequence else templates.HELD_OUT_TEMPLATES)
    if two:
        return _two(scene, rng)
    if sequence and rng.random() < 0.4:
        return common(rng, templates.SEQUENCE_TEMPLATES)
    while True:
        template = _one(scene, rng)
        if not (sequence and "{moving}" in template):
            return template


@dataclass(frozen=True)
class _Remark:
    """Something said of the time, the weather or the camera, and where: before, after or beside a sentence."""

    name: str
    where: str
    text: str


# Where a phrase, a sentence and a tag may stand.
_WHERE = (("place", "front", "end", "end"), ("after", "beside", "while"), ("tag", "front tag"))


def _remark(name: str, options: Remarks, rng: random.Random, held_out: bool) -> _Remark:
    while True:
        sort = rng.choices((0, 1, 2), (6, 4, 2) if name == "camera" else (7, 2, 1))[0]
        where, text = rng.choice(_WHERE[sort]), common(rng, options[sort])
        if name == "camera":
            where = {"place": "end"}.get(where, where)
        if reserved(where, text) == held_out:
            return _Remark(name, where, text)


def _remarks(scene: Scene, slots: Slots, rng: random.Random, held_out: bool) -> list[_Remark]:
    """What is said of time, weather and camera; the adjective and the remark that the place takes go to `slots`."""
    told: list[_Remark] = []
    tables = (("time", TIME_WORDS), ("weather", WEATHER_WORDS), ("camera", CAMERA_WORDS))
    terse = not held_out and rng.random() < 0.12
    for name, table in tables:
        value = getattr(scene, name)
        if not value or (not held_out and (terse or rng.random() < (0.25 if value == "day" else 0.12))):
            if name == "camera" and not value and not terse and not held_out and rng.random() < 0.02:
                told.append(replace(_remark(name, STILL_CAMERA, rng, held_out), name=""))
            continue
        adjectives = {"time": TIME_ADJECTIVES, "weather": WEATHER_ADJECTIVES}.get(name, {}).get(value)
        fits = adjectives and not held_out and not slots.adjective and not (value == "snow" == scene.backdrop)
        if fits and adjectives and not (value == "day" and scene.weather) and rng.random() < 0.12:
            slots.adjective = common(rng, adjectives)
            told.append(_Remark(name, "adjective", slots.adjective))
            continue
        remark = _remark(name, table[value], rng, held_out)
        if remark.where == "place" and not slots.place:
            slots.place = remark.text
        told.append(remark)
    rng.shuffle(told)
    return told


def _with_remarks(text: str, told: Sequence[_Remark], slots: Slots, rng: random.Random) -> str:
    """A sentence with what is said besides it; what its place has taken is there already."""
    for remark in told:
        if remark.where == "adjective":
            if not slots.adjective:
                slots.named.add(remark.name)
            continue
        slots.named.add(remark.name)
        said = remark.text
        if remark.where == "place":
            taken = slots.place != said and f" {said}" in text
            text = text if taken else f"{text} {said}"
        elif remark.where == "front":
            text = f"{said}{rng.choice((', ', ', ', ' '))}{text}"
        elif remark.where == "front tag":
            text = f"{said}{rng.choice((', ', ': '))}{text}"
        elif remark.where == "end":
            text = f"{text}{rng.choice((' ', ' ', ', '))}{said}"
        elif remark.where == "after":
            text = f"{text}. {said}"
        elif remark.where == "beside":
            text = f"{text}{rng.choice((', ', ', ', ' and ', '; '))}{said}"
        elif remark.where == "while":
            text = f"{text} {rng.choice(('while', 'while', 'as'))} {said}"
        else:
            text = f"{text}, {said}"
    return text


def _dress(text: str, rng: random.Random) -> str:
    """Punctuation, capitals and stray words, as people type them."""
    style = rng.random()
    if style < 0.12:
        text = text.replace(",", "").replace(".", "").replace(":", "").replace(";", "")
    elif style < 0.17:
        words = text.split(" ")
        words.insert(rng.randrange(len(words) + 1), rng.choice(FILLERS))
        text = " ".join(words)
    elif style < 0.19:
        text = f"{text}, {rng.choice(FILLERS)} {rng.choice(FILLERS)}"
    if rng.random() < 0.4:
        text = re.sub(r"(?:^|\. )\w", lambda start: start[0].upper(), text)
    if rng.random() < 0.4:
        text += "!" if rng.random() < 0.05 else "."
    return text


def describe(scene: Scene, rng: random.Random, *, held_out: bool = False) -> Caption:
    """Describe a scene.

    Args:
        scene: what to describe.
        rng: decides the phrasing; the same state gives the same caption.
        held_out: use sentence templates and pairs of phrases that training never meets; everything that the scene
            has except its size is then told. Training captions leave each of it out now and then.

    Returns:
        one sentence or a few, in mixed case, of 60 words and marks at most, every one of them in `words()`; and what
        they tell.
    """
    while True:
        told = _described(scene, rng, held_out)
        text = _dress(told.text, rng)
        if len(split(text)) <= LONGEST:
            return Caption(text, told.named)


def _described(scene: Scene, rng: random.Random, held_out: bool) -> Caption:
    if basic(scene) and not held_out and rng.random() < 0.08:
        return _plainest(scene, rng)
    slots = Slots(scene, rng, held_out)
    told = _remarks(scene, slots, rng, held_out)
    text = _template(scene, rng, held_out).format_map(slots)
    text = _with_remarks(text, told, slots, rng)
    return Caption(text, frozenset(slots.named & set(NAMES)))


def caption(scene: Scene, rng: random.Random, *, held_out: bool = False) -> str:
    """The text of `describe`."""
    return describe(scene, rng, held_out=held_out).text


def _texts(value: object) -> Iterator[str]:
    """Every phrase of a table, however it is nested."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts(tuple(value.values()))
    elif isinstance(value, (tuple, frozenset)):
        for each in value:
            yield from _texts(each)


def words() -> tuple[str, ...]:
    """Every word and punctuation mark a caption can contain, lower case, sorted."""
    modules = (phrases, setting_phrases, templates)
    tables = [value for module in modules for name, value in vars(module).items() if name.isupper() and name[0] != "_"]
    texts = list(_texts(tuple(tables)))
    texts += [*VERBS, *(plain_form(verb) for verb in VERBS.values())]
    texts += [plain_form(does) for does in phrases.FOLLOWS.values()]
    texts += [
        *phrases.FOLLOWS,
        *COLOURS,
        *SHAPES,
        "an that is in on over against plain dark gray grey behind back while as and . , : ; !",
    ]
    return tuple(sorted({word for text in texts for word in split(_FIELD.sub("", text))}))
